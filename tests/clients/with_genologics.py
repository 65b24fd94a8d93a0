"""An export with genologics (SciLifeLab), the library most Nordic sites use. Prints what it saw as one JSON object.

usage: with_genologics.py HOST USER PASSWORD
"""
import json
import sys
import time
from xml.etree import ElementTree

import requests
from genologics.entities import Artifact, Containertype, ProtocolStep, Queue, Step, Workflow
from genologics.lims import Lims

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
    for _ in range(30):
        step.get(force=True)
        if step.current_state == state:
            return
        time.sleep(0.05)
    raise SystemExit("%s stays in %s, not %s" % (step.id, step.current_state, state))


protocol = lims.get_protocols(name="Export of HTS-data diag 2.0")[0]
config = [step for step in protocol.steps if step.name == "Lims exporter diag 2.0"][0]
config = ProtocolStep(lims, uri=config.uri)
saw["step"] = config.uri.rsplit("/", 1)[1]
queue = Queue(lims, id=saw["step"])
saw["queue"] = sorted(a.id for a in queue.artifacts)
batch = lims.get_batch([Artifact(lims, id=name) for name in saw["queue"]])
saw["batch"] = sorted(a.id for a in batch)
saw["names"] = sorted(a.name for a in batch)
samples = lims.get_batch([a.samples[0] for a in batch])
saw["samples"] = sorted(s.name for s in samples)
saw["sample_search"] = [s.id for s in lims.get_samples(name=saw["samples"][0])]
saw["projects"] = [p.name for p in lims.get_projects()]
output = [
    o
    for o in lims.get_artifacts(sample_name=saw["samples"][0], process_type="Demultiplexing NovaSeq X", type="ResultFile")
    if o.udf.get("SampleSheet Sample_ID")
][0]
saw["output"] = [output.udf["Sample sheet position"], output.reagent_labels[0]]
saw["us"] = [r.username for r in lims.get_researchers(username=USER)]

one, two, third = (Artifact(lims, id=name) for name in saw["queue"][:3])
# Step.create of this library always sends a container type, which a step without outputs has no use for.
tube = Containertype(lims, uri=lims.get_uri("containertypes", "2"))
tube.root = ElementTree.Element("{http://genologics.com/ri/containertype}container-type", name="Tube")
saw["with_container"] = refusal(lambda: Step.create(lims, config, tube, [one]))
creation = ElementTree.Element("{http://genologics.com/ri/step}step-creation")
inputs = ElementTree.SubElement(creation, "inputs")
for artifact in (one, two):
    ElementTree.SubElement(inputs, "input", uri=artifact.uri)
ElementTree.SubElement(creation, "configuration", uri=config.uri).text = config.name
answer = lims.post(lims.get_uri("steps"), lims.tostring(ElementTree.ElementTree(creation)))
saw["taken"] = refusal(lambda: lims.post(lims.get_uri("steps"), lims.tostring(ElementTree.ElementTree(creation))))
step = Step(lims, uri=answer.attrib["uri"])
wait_for(step, "Record Details")
open_ones = [p for p in lims.get_processes(type=config.name, inputartifactlimsid=one.id) if not p.date_run]
saw["found"] = [p.id for p in open_ones] == [step.id]
saw["inputs"] = sorted(a.id for a in open_ones[0].all_inputs())
step.details.get()
step.details.udf["Export key"] = "k-1"
step.details.put()
actions = step.actions.next_actions
for action in actions:
    action["action"] = "complete"
step.actions.next_actions = actions
step.actions.put()
step.advance()
wait_for(step, "Assign Next Steps")
step.program_status.get(force=True)
saw["program"] = step.program_status.status
step.advance()
wait_for(step, "Completed")
saw["completed"] = [step.id, bool(step.date_completed)]

workflow = lims.get_workflows(name="Processing of HTS-data diag 2.0")[0]
failed = [s for s in Workflow(lims, uri=workflow.uri).stages if s.name == "Export failed"][0]
lims.route_artifacts([third], stage_uri=failed.uri)
lims.route_artifacts([third], workflow_uri=workflow.uri, unassign=True)
third.get(force=True)
saw["history"] = [[stage.name, status] for stage, status, name in third.workflow_stages_and_statuses]
saw["absent"] = refusal(lambda: Artifact(lims, id="2-1").get())
json.dump(saw, sys.stdout)
