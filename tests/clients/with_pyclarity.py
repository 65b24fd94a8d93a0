"""An export with pyclarity-lims (Edinburgh Genomics). Prints what it saw as one JSON object.

usage: with_pyclarity.py HOST USER PASSWORD
"""
import json
import sys
import time
from xml.etree import ElementTree

import requests
from pyclarity_lims.entities import Artifact, Queue, Step
from pyclarity_lims.lims import Lims

HOST, USER, PASSWORD = sys.argv[1:]
lims = Lims(HOST, USER, PASSWORD)
lims.check_version()
saw = {}


def refusal(call):
    try:
        call()
    except requests.exceptions.HTTPError as error:
        return str(error)
    raise SystemExit("not refused: %r" % call)


def wait_for(step, state):
    """The library does not wait for programs; every user of it has such a loop."""
    for _ in range(30):
        step.get(force=True)
        if step.current_state == state:
            return
        time.sleep(0.05)
    raise SystemExit("%s stays in %s, not %s" % (step.id, step.current_state, state))


# From the workflow to the queue.
workflow = [w for w in lims.get_workflows(name="Processing of HTS-data diag 2.0")][0]
stages = {stage.name: stage for stage in workflow.stages}
stage = stages["Lims exporter diag 2.0"]
config = stage.step
saw["stage"] = stage.id
saw["step"] = config.id
saw["permitted_containers"] = list(config.permitted_containers)
queue = Queue(lims, id=config.id)
artifacts = queue.artifacts
saw["queue"] = sorted(a.id for a in artifacts)
saw["queued_since"] = all(since.utcoffset() is not None for _, since, _ in queue.queued_artifacts)

# The batch, by hand: get_batch of this version calls Element.getchildren, which Python 3.9 took away.
root = ElementTree.Element("{http://genologics.com/ri}links")
for artifact in artifacts:
    ElementTree.SubElement(root, "link", uri=artifact.uri.split("?")[0], rel="artifacts")
details = lims.post(lims.get_uri("artifacts", "batch/retrieve"), lims.tostring(ElementTree.ElementTree(root)))
saw["batch"] = sorted(node.attrib["limsid"] for node in details)
ElementTree.SubElement(root, "link", uri=artifacts[0].uri.split("?")[0] + "?state=1", rel="artifacts")
saw["batch_twice"] = refusal(
    lambda: lims.post(lims.get_uri("artifacts", "batch/retrieve"), lims.tostring(ElementTree.ElementTree(root)))
)

# Reading.
first = Artifact(lims, id=sorted(saw["queue"])[0])
sample = first.samples[0]
saw["sample"] = [sample.name, sample.udf["Gene panel Diag"], sample.project.name]
outputs = lims.get_artifacts(samplelimsid=sample.id, process_type="Demultiplexing NovaSeq X", type="ResultFile")
own = [o for o in outputs if o.udf.get("SampleSheet Sample_ID")]
saw["output"] = [len(own), own[0].udf["ORA compression"], str(own[0].udf["% Bases >=Q30"])]
process = own[0].parent_process
lane = [i["uri"] for i, o in process.input_output_maps if o and o["limsid"] == own[0].id][0]
saw["lane"] = lane.location[1]
runs = lims.get_processes(type="NovaSeq X Run", inputartifactlimsid=lane.id)
saw["run"] = runs[-1].udf["Run ID"]
saw["fields"] = sorted(f.name for f in lims.get_udfs(attach_to_name="Sample"))
saw["us"] = [r.last_name for r in lims.get_researchers(username=USER)]

# A step: start, field, actions, advance, program, completion.
one, two, third = (Artifact(lims, id=name) for name in sorted(saw["queue"])[:3])
step = Step.create(lims, protocol_step=config, inputs=[one, two])
saw["taken"] = refusal(lambda: Step.create(lims, protocol_step=config, inputs=[one, third]))
wait_for(step, "Record Details")
step.details.udf["Export key"] = "k-æøå"
step.details.put()
for action in step.actions.next_actions:
    action["action"] = "complete"
step.actions.put()
step.advance()
saw["busy"] = refusal(step.advance)
wait_for(step, "Assign Next Steps")
saw["program"] = step.program_status.status if step.program_status else None
step.advance()
wait_for(step, "Completed")
saw["completed"] = [step.id, bool(step.date_completed)]
saw["again"] = refusal(step.advance)
saw["left"] = sorted(a.id for a in Queue(Lims(HOST, USER, PASSWORD), id=config.id).artifacts)

# Routing: to the stage for failures, and out of the workflow.
lims.route_artifacts([third], stage_uri=stages["Export failed"].uri)
lims.route_artifacts([third], stage_uri=stage.uri, unassign=True)
saw["wrong_stage"] = refusal(lambda: lims.route_artifacts([third], stage_uri=config.uri))
saw["failed_queue"] = [a.id for a in Queue(lims, id="1603").artifacts]
saw["history"] = [
    [node.attrib["name"], node.attrib["status"]]
    for node in lims.get(third.uri.split("?")[0]).find("workflow-stages").findall("workflow-stage")
]

# A resource written whole.
third.get(force=True)
third.udf["Export failed description"] = "ødelagt – prøv igjen"
third.qc_flag = "FAILED"
third.put()
back = Artifact(Lims(HOST, USER, PASSWORD), id=third.id)
saw["written"] = [back.udf["Export failed description"], back.qc_flag]
third.udf["Nobody knows this"] = "x"
saw["unknown_field"] = refusal(third.put)
saw["absent"] = refusal(lambda: Artifact(lims, id="2-1").name)
json.dump(saw, sys.stdout)
