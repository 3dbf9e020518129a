"""The examples of docs/operations call commands that exist, as the schedulers want it; the runbook knows every code."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import typer
import yaml

from features.schema import errors
from pipelines.cli.app import app
from tests.support.paths import ROOT

EXAMPLES = ROOT / "docs" / "operations"
UNITS = sorted((EXAMPLES / "systemd").iterdir())
COMMANDS = ("score", "monitor", "retrain")  # of `leadscore nightly`
HOME = "/opt/leadscore"


def services() -> dict[str, dict[str, str]]:
    """Each unit's settings; no setting stands twice."""
    found = {}
    for unit in UNITS:
        lines = [line for line in unit.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"]
        settings = [line.split("=", 1) for line in lines]
        assert len({name for name, _ in settings}) == len(settings)
        found[unit.name] = dict(settings)
    return found


def crontab() -> list[tuple[list[str], str]]:
    """The five fields and the command of each line."""
    lines = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|[A-Z]+=", line)]
    return [(line.split(None, 5)[:5], line.split(None, 5)[5]) for line in jobs]


def cronjobs() -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes" / "cronjobs.yaml").read_text(encoding="utf-8"))
    return [one for one in documents if one["kind"] == "CronJob"]


def calls() -> Iterator[tuple[str, list[str]]]:
    """Where each command is called, and its words after `leadscore nightly`."""
    for name, settings in services().items():
        if "ExecStart" in settings:
            program, group, *words = shlex.split(settings["ExecStart"])
            assert (program, group) == (f"{HOME}/.venv/bin/leadscore", "nightly")
            yield name, words
    for _, command in crontab():
        yield "crontab", inner(command.split(" >> ")[0])
    for job in cronjobs():
        group, *words = container(job)["args"]
        assert group == "nightly"
        yield job["metadata"]["name"], words
    for task in dags()[1]:
        yield f"airflow {task.arguments['task_id']}", inner(task.arguments["bash_command"])


def inner(command: str) -> list[str]:
    assert command.startswith(f"cd {HOME} && .venv/bin/leadscore nightly ")
    return shlex.split(command.replace("{{ ds }}", "2026-11-02"))[5:]


def container(job: dict[str, Any]) -> dict[str, Any]:
    (one,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return dict(one)


# A stand-in of what Airflow 3 makes public, as far as the example uses it


class Dag:
    """airflow.sdk.DAG: keeps what it was given and knows the tasks made inside of it."""

    KNOWN = frozenset({"dag_id", "schedule", "start_date", "catchup", "max_active_runs", "default_args"})
    made: ClassVar[list[Dag]] = []

    def __init__(self, **given: Any) -> None:
        assert set(given) <= self.KNOWN and given["dag_id"]
        self.given = given

    def __enter__(self) -> Dag:
        Dag.made.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        return None


class BashOperator:
    """airflow.providers.standard.operators.bash.BashOperator."""

    KNOWN = frozenset({"task_id", "bash_command", "retries", "retry_delay", "trigger_rule", "skip_on_exit_code"})
    RULES = frozenset({"all_success", "all_done", "all_failed", "one_success", "one_failed", "none_failed"})
    made: ClassVar[list[BashOperator]] = []

    def __init__(self, **given: Any) -> None:
        defaults = Dag.made[-1].given["default_args"]
        self.arguments: dict[str, Any] = defaults | given
        assert set(self.arguments) <= self.KNOWN
        assert self.arguments.get("trigger_rule", "all_success") in self.RULES
        self.after: list[BashOperator] = []
        BashOperator.made.append(self)

    def __rshift__(self, other: BashOperator) -> BashOperator:
        other.after.append(self)
        return other


def dags() -> tuple[list[Dag], list[BashOperator]]:
    """Import the DAG file as Airflow would."""
    Dag.made, BashOperator.made = [], []
    names = ["airflow", "airflow.sdk", "airflow.providers", "airflow.providers.standard",
             "airflow.providers.standard.operators", "airflow.providers.standard.operators.bash"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, ModuleType(name))
        sys.modules["airflow.sdk"].DAG = Dag  # type: ignore[attr-defined]  # a stand-in
        sys.modules[names[-1]].BashOperator = BashOperator  # type: ignore[attr-defined]  # a stand-in
        runpy.run_path(str(EXAMPLES / "airflow_dag.py"))
    return Dag.made, BashOperator.made


# What they call


@pytest.mark.parametrize(("place", "words"), list(calls()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_call_is_one_that_the_command_line_takes(
    place: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("project: {seed: 1}\n", encoding="utf-8")  # read before the other options
    root: Any = typer.main.get_command(app)
    assert words[0] in COMMANDS
    root.commands["nightly"].commands[words[0]].make_context(words[0], words[1:])


def test_each_scheduler_calls_each_command_once() -> None:
    by_kind: dict[str, list[str]] = {}
    for place, words in calls():
        kind = re.split(r"[ .]", place)[-1] if "." in place else place.split(" ")[0].split("-")[0]
        by_kind.setdefault(kind, []).append(words[0])
    assert {kind: sorted(names) for kind, names in by_kind.items()} == {
        kind: sorted(COMMANDS) for kind in ("service", "crontab", "leadscore", "airflow")
    }


def test_the_same_command_is_called_alike_everywhere() -> None:
    said: dict[str, set[tuple[str, ...]]] = {}
    for _, words in calls():
        pairs = re.findall(r"(--[\w-]+)[= ](\S+)", " ".join(words))
        said.setdefault(words[0], set()).add(tuple((name, value) for name, value in pairs if name != "--as-of"))
    assert all(len(ways) == 1 for ways in said.values()), said


def test_every_call_says_the_day_it_is_for() -> None:
    """So that a run that comes late, or once more, is a run for its own day."""
    days = {(place.split(" ")[0], words[0]): " ".join(words) for place, words in calls()}
    for (place, name), said in days.items():
        wanted = "2026-11-02" if place == "airflow" else "today"  # Airflow's own {{ ds }}
        assert re.search(rf"--as-of[= ]{wanted}( |$)", said), (place, name)


# systemd


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    program = tmp_path / "home" / ".venv" / "bin" / "leadscore"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = [tmp_path / unit.name for unit in UNITS]
    for unit, copy in zip(UNITS, copies, strict=True):
        copy.write_text(unit.read_text(encoding="utf-8").replace(HOME, str(tmp_path / "home")))
    checked = _systemd("verify", "--man=no", *map(str, copies))
    assert (checked.returncode, checked.stderr) == (0, "")
    copies[0].write_text(copies[0].read_text() + "Restrat=never\n")
    assert "Restrat" in _systemd("verify", "--man=no", str(copies[0])).stderr, "a wrong unit should be seen"


def test_the_timers_name_a_time_and_have_a_service() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    timers = {name: one["OnCalendar"] for name, one in services().items() if name.endswith(".timer")}
    for name, at in timers.items():
        assert name.replace(".timer", ".service") in services()
        found = _systemd("calendar", "--iterations=3", at)
        assert found.returncode == 0 and found.stdout.count("Iter") == 2, found.stderr
    assert len(timers) == len(COMMANDS)


def _systemd(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_codes_that_only_a_person_can_mend_are_not_tried_again(command: str) -> None:
    """By systemd and by Kubernetes alike; a list that was not written and another run are."""
    unit = services()[f"leadscore-{command}.service"]
    stops = {int(code) for code in unit["RestartPreventExitStatus"].split()}
    (job,) = (one for one in cronjobs() if one["metadata"]["name"].endswith(command))
    (rule,) = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert stops == set(rule["onExitCodes"]["values"])
    assert stops >= {1, 2, 3, 4, 5} and not stops & {0, errors.DeliveryError.exit_code, errors.BusyError.exit_code}
    assert {"monitor": 9 in stops, "retrain": errors.RefusedError.exit_code in stops}.get(command, True)


# cron

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def cron_times(fields: list[str]) -> list[set[int]]:
    """The values of each field; raises ValueError where cron would not take it."""
    return [_cron_field(text, *bounds) for text, bounds in zip(fields, BOUNDS, strict=True)]


def _cron_field(text: str, low: int, high: int) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        start, stop = int(first), int(last or first)
        if not low <= start <= stop <= high:
            raise ValueError(f"{part} is outside of {low} to {high}")
        values |= set(range(start, stop + 1, int(step or 1)))
    return values


def schedules() -> list[list[str]]:
    kubernetes = [job["spec"]["schedule"].split() for job in cronjobs()]
    return [fields for fields, _ in crontab()] + kubernetes + [dag.given["schedule"].split() for dag in dags()[0]]


def test_every_schedule_is_one_that_cron_takes() -> None:
    for fields in schedules():
        minute, hour, *_ = cron_times(fields)
        assert len(minute) == len(hour) == 1, "once a day"
    for wrong in (["60", "*", "*", "*", "*"], ["5-1", "*", "*", "*", "*"], ["x", "*", "*", "*", "*"]):
        with pytest.raises(ValueError, match=r"outside|invalid"):
            cron_times(wrong)
    assert all("%" not in command for _, command in crontab()), "cron takes % for the end of a line"


# Airflow


def test_the_dags_are_imported_and_in_order() -> None:
    found, tasks = dags()
    assert [dag.given["dag_id"] for dag in found] == ["leadscore_score", "leadscore_loop"]
    assert all(dag.given["max_active_runs"] == 1 and dag.given["catchup"] is False for dag in found)
    score, monitor, retrain = tasks
    assert [task.arguments["task_id"] for task in tasks] == list(COMMANDS)
    assert retrain.after == [monitor] and not score.after and not monitor.after
    assert retrain.arguments["trigger_rule"] == "all_done", "an alert is a reason to retrain"
    assert retrain.arguments["skip_on_exit_code"] == errors.RefusedError.exit_code
    assert monitor.arguments["retries"] == 0


# Kubernetes: of batch/v1 and core/v1 the fields that are needed (!) and those that the example may use

FIELDS: dict[str, dict[str, Any]] = {
    "CronJob": {"apiVersion!": str, "kind!": str, "metadata!": "Meta", "spec!": "CronJobSpec"},
    "Meta": {"name!": str},
    "CronJobSpec": {
        "schedule!": str,
        "jobTemplate!": "JobTemplate",
        "timeZone": str,
        "concurrencyPolicy": ("Allow", "Forbid", "Replace"),
        "startingDeadlineSeconds": int,
        "successfulJobsHistoryLimit": int,
        "failedJobsHistoryLimit": int,
    },
    "JobTemplate": {"spec!": "JobSpec"},
    "JobSpec": {
        "template!": "PodTemplate",
        "backoffLimit": int,
        "activeDeadlineSeconds": int,
        "podFailurePolicy": "Policy",
    },
    "Policy": {"rules!": ["Rule"]},
    "Rule": {"action!": ("FailJob", "FailIndex", "Ignore", "Count"), "onExitCodes": "OnExitCodes"},
    "OnExitCodes": {"operator!": ("In", "NotIn"), "values!": [int], "containerName": str},
    "PodTemplate": {"spec!": "PodSpec"},
    "PodSpec": {
        "containers!": ["Container"],
        "restartPolicy": ("Never", "OnFailure"),
        "securityContext": "PodSecurity",
        "volumes": ["Volume"],
    },
    "PodSecurity": {"runAsNonRoot": bool, "runAsUser": int, "fsGroup": int},
    "Container": {
        "name!": str,
        "image": str,
        "args": [str],
        "workingDir": str,
        "resources": "Resources",
        "volumeMounts": ["Mount"],
    },
    "Resources": {"requests": "Amounts", "limits": "Amounts"},
    "Amounts": {"cpu": str, "memory": str},
    "Mount": {"name!": str, "mountPath!": str},
    "Volume": {"name!": str, "persistentVolumeClaim": "Claim"},
    "Claim": {"claimName!": str},
}


def wrong(given: Any, wanted: Any, place: str) -> list[str]:
    """What of a manifest does not fit."""
    if isinstance(wanted, list):
        items = given if isinstance(given, list) and given else [None]
        return [fault for item in items for fault in wrong(item, wanted[0], place)]
    if isinstance(wanted, tuple):
        return [] if given in wanted else [f"{place}: {given!r}"]
    if isinstance(wanted, type):
        return [] if type(given) is wanted else [f"{place}: {given!r}"]
    if not isinstance(given, dict):
        return [f"{place}: {given!r}"]
    fields = {name.rstrip("!"): kind for name, kind in FIELDS[wanted].items()}
    lacking = [name.rstrip("!") for name in FIELDS[wanted] if name.endswith("!") and name.rstrip("!") not in given]
    faults = [f"{place}.{name}" for name in [*lacking, *(given.keys() - fields.keys())]]
    return faults + [
        fault for name in given.keys() & fields.keys() for fault in wrong(given[name], fields[name], f"{place}.{name}")
    ]


@pytest.mark.parametrize("job", cronjobs(), ids=lambda job: str(job["metadata"]["name"]))
def test_the_manifests_have_the_fields_of_the_public_schema(job: dict[str, Any]) -> None:
    assert wrong(job, "CronJob", "") == []
    assert job["apiVersion"] == "batch/v1"
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "a policy on exit codes needs it"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert {mount["name"] for mount in container(job)["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container(job)["name"]
    assert wrong(job | {"spec": job["spec"] | {"schedle": ""}}, "CronJob", "") == [".spec.schedle"]


# The container


def test_the_container_file_copies_what_is_there_and_runs_as_nobody_special() -> None:
    text = (EXAMPLES / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line and line[0] != "#"]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in steps} <= known and steps[0][0] == "FROM"
    copied = [source for name, rest in steps if name == "COPY" for source in rest.split()[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    assert {"features", "models", "pipelines", "params.yaml", "examples", "requirements.lock"} <= set(copied)
    assert next(rest for name, rest in steps[::-1] if name == "USER") not in {"root", "0"}
    (entry,) = (rest for name, rest in steps if name == "ENTRYPOINT")
    assert yaml.safe_load(entry) == [f"{HOME}/.venv/bin/leadscore"]
    assert "--require-hashes" in text and "--no-deps" in text


# The runbook

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
TOLD = re.findall(r"^\| (\d|[A-Z]{2}\d\d) \| (.+) \| (.+) \|$", RUNBOOK, re.MULTILINE)


def exit_codes() -> set[int]:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.LeadScoreError)]
    return {0} | {one.exit_code for one in kinds}


def codes_in_the_code() -> set[str]:
    files = [path for room in ("features", "models", "pipelines") for path in (ROOT / room).rglob("*.py")]
    return {code for path in files for code in re.findall(r'"([A-Z]{2}\d\d)"', path.read_text(encoding="utf-8"))}


def test_the_runbook_says_what_to_do_for_every_code() -> None:
    told = {code: (meaning, mend) for code, meaning, mend in TOLD}
    assert len(told) == len(TOLD), "no code stands twice"
    assert {str(code) for code in exit_codes()} <= told.keys()
    assert codes_in_the_code() >= {"PG01", "PG10", "LK01", "LK10"}
    assert codes_in_the_code() <= told.keys()
    assert all(len(meaning) > 10 and len(mend) > 7 for meaning, mend in told.values())


@pytest.mark.parametrize("command", ["nightly score", "model promote", "model rollback", "stage audit", "lead explain"])
def test_the_runbook_names_commands_that_exist(command: str) -> None:
    group, name = command.split()
    root: Any = typer.main.get_command(app)
    assert f"leadscore {command}" in RUNBOOK and name in root.commands[group].commands
