"""The models of the pods: from the trainer's job, and from object storage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pigeonhole.trainer.__main__ import INTERRUPTED, REJECTED, main
from pigeonhole.trainer.settings import Settings
from tests.deploy.kubernetes.manifests import Manifests, Object

HOUR_S = 3600


@pytest.fixture(scope="module")
def job(build) -> Object:
    return build("deploy/kubernetes/overlays/volume").one("CronJob")


def pod_of(job: Object) -> dict[str, Any]:
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_trainer_accepts_the_arguments_of_the_job(job: Object) -> None:
    (container,) = pod_of(job)["containers"]
    command, *arguments = container["args"]
    flags = main.commands[command].make_context(command, arguments).params
    flags.pop("settings_file")
    settings = Settings.read(flags)
    mounted = {
        mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]
    }
    assert mounted[str(settings.models)] is False
    assert mounted[str(Path(settings.table).parent)] is True


def test_one_fit_runs_at_a_time_with_a_deadline(job: Object) -> None:
    spec = job["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert 0 < spec["startingDeadlineSeconds"] <= 12 * HOUR_S
    assert 0 < spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 24 * HOUR_S
    assert spec["successfulJobsHistoryLimit"] + spec["failedJobsHistoryLimit"] <= 5
    assert pod_of(job)["restartPolicy"] == "Never"


def test_rejected_table_is_not_tried_again(job: Object) -> None:
    rejection, _ = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    (container,) = pod_of(job)["containers"]
    assert rejection["action"] == "FailJob"
    assert rejection["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [REJECTED],
    }
    assert INTERRUPTED not in rejection["onExitCodes"]["values"]


def test_models_in_object_storage_are_copied_to_the_pod(
    build_component: Callable[[str], Manifests],
    program: Callable[[str, str], str],
    repository: Path,
    tmp_path: Path,
) -> None:
    pod = build_component("models-bucket").one("Deployment")["spec"]["template"]["spec"]
    (first,), (service,) = pod["initContainers"], pod["containers"]
    variables = {each["name"]: each["value"] for each in first["env"]}
    (shared,) = [mount for mount in first["volumeMounts"] if mount["name"] == "models"]
    assert {"readOnly": True, **shared} in service["volumeMounts"]

    fetched = tmp_path / "fetched"
    fetched.mkdir()
    released = tmp_path / "bucket" / variables["MODELS"]
    shutil.copytree(repository / "models" / "bodymass", released / "bodymass")
    arguments = [each.replace("$(MODELS)", variables["MODELS"]) for each in first["args"]]
    assert arguments[-1] == shared["mountPath"]
    # A folder stands for the object storage that the Secret names.
    environment = {"PATH": os.environ["PATH"], "RCLONE_CONFIG_BUCKET_TYPE": "local"}
    subprocess.run(
        [program("rclone", "rclone"), *arguments[:-1], str(fetched)],
        check=True,
        cwd=tmp_path / "bucket",
        env=environment,
    )
    checked = subprocess.run(
        [sys.executable, "-m", "pigeonhole", "check", "--models", str(fetched)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "bodymass/1: ok" in checked.stdout
