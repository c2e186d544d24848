"""NNI's own dispatcher, repaired, without a manager: it is told what the manager would tell it, in that order."""

import json

from nni.common.serializer import dump
from nni.runtime import msg_dispatcher
from nni.runtime.msg_dispatcher import MsgDispatcher
from nni.runtime.tuner_command_channel import CommandType


class Dispatcher:
    """A process of its own, so that nothing is left of an earlier one; its trials' ids are job0, job1 …"""

    def __init__(self, tuner=None, assessor=None, space=None):
        for held in ("_trial_history", "_ended_trials", "_reported", "_trial_params", "_customized_parameter_ids"):
            getattr(msg_dispatcher, held).clear()
        msg_dispatcher._next_parameter_id = 0
        self.nni = MsgDispatcher("ws://_unittest_dispatcher", tuner, assessor)
        self.nni.send = lambda command, data: self.sent.append((command, data))
        self.sent = []
        self.packed = {}  # parameter_id -> what NNI keeps of a trial
        if space is not None:
            self.tell(CommandType.Initialize, json.loads(json.dumps(space)))

    def tell(self, command, data):
        self.nni.enqueue_command(command, data)
        for queue in (self.nni.assessor_command_queue, self.nni.default_command_queue):
            while not queue.empty():
                self.nni.process_command(*queue.get())

    def of(self, command):
        """What was sent with `command`, which is then forgotten."""
        found = [data for kind, data in self.sent if kind is command]
        self.sent = [(kind, data) for kind, data in self.sent if kind is not command]
        return found

    def ask(self, count=1):
        """{parameter_id: parameters} of the next trials."""
        self.tell(CommandType.RequestTrialJobs, count)
        asked = {}
        for packed in self.of(CommandType.NewTrialJob):
            job = json.loads(packed)
            self.packed[job["parameter_id"]], asked[job["parameter_id"]] = packed, job["parameters"]
        return asked

    @property
    def ended(self):
        """Whether the tuner has no more trials."""
        return bool(self.of(CommandType.NoMoreTrialJobs))

    def report(self, number, value, sequence):
        """An intermediate result; whether the trial may go on."""
        self.metric(number, value, "PERIODICAL", sequence)
        return not self.of(CommandType.KillTrialJob)

    def metric(self, number, value, kind="FINAL", sequence=0):
        told = {"parameter_id": number, "trial_job_id": f"job{number}", "type": kind, "sequence": sequence}
        self.tell(CommandType.ReportMetricData, told | {"value": dump(value)})

    def end(self, number, event="SUCCEEDED"):
        told = {"trial_job_id": f"job{number}", "event": event, "hyper_params": self.packed[number]}
        self.tell(CommandType.TrialEnd, told)

    def finish(self, number, value):
        self.metric(number, value)
        self.end(number)

    def recover(self, earlier, results, reports=None):
        """As after `nnictl resume`: `earlier` is the dispatcher before, `results` {parameter_id: final result}, and
        `reports` what the trials under way had told, {parameter_id: values}."""
        self.packed |= {number: through_javascript(packed) for number, packed in earlier.packed.items()}
        told = [
            {"parameter": json.loads(self.packed[number])["parameters"], "value": value, "trialJobId": f"job{number}"}
            for number, value in results.items()
        ]
        self.tell(CommandType.ImportData, told)
        trials = [json.loads(packed) for number, packed in self.packed.items()]
        lines = [
            {"trialJobId": f"job{number}", "sequence": sequence, "data": dump(dump(value))}
            for number, values in (reports or {}).items()
            for sequence, value in enumerate(values)
        ]
        self.tell(CommandType.AddCustomizedTrialJob, [*trials, {"parameter_id": None, "reports": lines}])


def through_javascript(packed):
    """NNI's manager reads and writes the parameters: 1.0 becomes 1."""

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(entry) for name, entry in value.items()}
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(json.loads(packed)))
