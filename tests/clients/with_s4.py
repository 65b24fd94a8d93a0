"""An export with s4-clarity (Semaphore Solutions): its StepRunner drives the step. Prints what it saw as one JSON object.

usage: with_s4.py HOST USER PASSWORD
"""
import json
import sys
import xml.etree.ElementTree

# s4.clarity.lims imports a module that Python 3.9 took away; it was another name of this one.
sys.modules["xml.etree.cElementTree"] = xml.etree.ElementTree
xml.etree.cElementTree = xml.etree.ElementTree

from s4.clarity import LIMS, ClarityException  # noqa: E402
from s4.clarity.routing import Router  # noqa: E402
from s4.clarity.steputils.step_runner import StepRunner  # noqa: E402

HOST, USER, PASSWORD = sys.argv[1:]
lims = LIMS(HOST + "/api/v2", USER, PASSWORD, timeout=10)
saw = {"minor": lims.current_minor_version}


def refusal(call, kind=ClarityException):
    try:
        call()
    except kind as error:
        return "%s: %s" % (type(error).__name__, error)
    raise SystemExit("not refused: %r" % call)


queue = lims.queues.from_limsid("1601")
queued = queue.queued_artifacts
saw["queue"] = sorted(q.limsid for q in queued)
saw["names"] = sorted(q.artifact.name for q in queued)
saw["by_sample"] = [q.limsid for q in queue.query(submittedsamplelimsid=queued[0].artifact.sample.limsid)]
sample = lims.samples.query(name=queued[0].artifact.name)[0]
saw["sample"] = [sample.limsid == queued[0].artifact.sample.limsid, sample["Gene panel Diag"], sample.project.name]
saw["udfs"] = sorted(u.name for u in lims.udfs.query(prefetch=False) if u)
saw["us"] = [r.username for r in lims.researchers.query(username=USER)]
flow_cell = lims.containers.query(name="22ABCDLT4")[0]
saw["flow_cell"] = flow_cell.name


class Export(StepRunner):
    """What a person would do on the two screens of a step without outputs."""

    screens = []

    def record_details(self):
        self.screens.append(self.step.current_state)
        self.step.details["Export key"] = "nøkkel"
        self.step.details.commit()

    def next_steps(self):
        self.screens.append(self.step.current_state)
        self.step.actions.all_next_step()
        self.step.actions.commit()


def export():
    return Export(lims, "Export of HTS-data diag 2.0", "Lims exporter diag 2.0")


uris = {limsid: lims.artifact(limsid).uri for limsid in saw["queue"]}
one, two, third = saw["queue"][:3]
runner = export()
runner.run(inputuris=[uris[one], uris[two]])
saw["screens"] = list(Export.screens)
saw["state"] = runner.step.current_state
saw["key"] = runner.step.details["Export key"]
saw["actions"] = sorted(a.action for a in runner.step.actions.artifact_actions.values())
saw["inputs"] = sorted(a.limsid for a in runner.step.details.inputs)
saw["step"] = runner.step.limsid
saw["taken"] = refusal(lambda: export().load_new_step([uris[one]]))

# Somebody else's step goes on where it is: the way back from a crash.
half = export()
half.load_new_step([uris[third]])
half.run_to_state("Assign Next Steps")
again = export()
again.load_existing_step(half.step.limsid)
again.run_to_state("Completed")
saw["resumed"] = again.step.current_state

router = Router(lims)
workflow = lims.workflows.get_by_name("Processing of HTS-data diag 2.0")
stages = {stage.name: stage for stage in workflow.stages}
last = lims.artifact(saw["queue"][3])
router.assign(stages["Export failed"].uri, last)
router.unassign(workflow.uri, last)
router.commit()
last.refresh()
saw["history"] = [[h.stage.name, h.status] for h in last.workflow_stages] if hasattr(last, "workflow_stages") else None
saw["absent"] = refusal(lambda: lims.artifact("2-1").refresh())
wrong = LIMS(HOST + "/api/v2", USER, "wrong", timeout=10)
saw["wrong_password"] = refusal(lambda: wrong.queues.from_limsid("1601").refresh())
# The test makes the simulator answer this one address with a redirect, as a real server does to plain HTTP.
saw["redirect"] = refusal(lambda: lims.request("get", HOST + "/api/v2/containers/27-0"))
json.dump(saw, sys.stdout)
