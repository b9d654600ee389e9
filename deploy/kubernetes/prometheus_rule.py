"""Write the rules of ``deploy/prometheus/rules`` as an object of the Prometheus operator.

python deploy/kubernetes/prometheus_rule.py    after a change of the rules
"""  # noqa: INP001 - a script

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent

RULES = DEPLOY / "prometheus" / "rules"

WRITTEN = DEPLOY / "kubernetes" / "components" / "monitored" / "prometheus-rule.yaml"

HEAD = """\
# Written by deploy/kubernetes/prometheus_rule.py: change deploy/prometheus/rules instead.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: pigeonhole
  labels:
    app.kubernetes.io/name: pigeonhole
spec:
  groups:
"""


def prometheus_rule(files: Iterable[Path]) -> str:
    """Return all groups of some rule files as one object, with their comments.

    Args:
        files: each is comments, the line ``groups:``, and the groups, two spaces in.

    Returns:
        The object as YAML.
    """
    parts = [HEAD]
    for file in files:
        comments, _, groups = file.read_text("utf-8").partition("\ngroups:\n")
        for depth, lines in ((4, comments.strip().splitlines()), (2, groups.splitlines())):
            parts += [f"{' ' * depth}{line}\n" if line else "\n" for line in lines]
    return "".join(parts)


if __name__ == "__main__":
    WRITTEN.write_text(prometheus_rule(sorted(RULES.glob("*.yml"))), "utf-8")
