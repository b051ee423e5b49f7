"""`escalon evaluate --confidence`: the agent's own word, held against outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from escalon.learning import MISTAKES, gather
from escalon.terminal import mistakes, out, print_json, print_pairs, progress
from serving.policy.rules import Validation
from serving.where import Where
from training import confidence
from training.dataset import snapshots
from training.judged import judged
from training.labels import labels_of

SCHEMA = "escalon.validations/1"


def audit_confidence(
    events: list[Path],
    store: Where | None,
    *,
    signals: Sequence[str],
    target: Path,
    as_json: bool,
) -> None:
    """Hold what the agent says of itself against outcomes; write what was found."""
    with mistakes(*MISTAKES, confidence.ConfidenceError), progress() as tell:
        tell("reading labels and signals")
        table = gather(events, store)
        labels = labels_of(table)
        data = judged(snapshots(table, labels), labels)
        tell(f"auditing on {data.n_tasks} tasks not labelled for how they went")
        found = confidence.audit_confidence(data, signals=signals or None)
    today = datetime.now(UTC).date()
    kept = [(one, record(one, data.fingerprint(), today)) for one in found]
    report = {
        "schema": SCHEMA,
        "validations": [
            {**one.to_json(), "record": pasted.model_dump(mode="json")}
            for one, pasted in kept
        ],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    if as_json:
        print_json(report)
        return
    for one, _ in kept:
        print_pairs(f"{one.signal} on agent version {one.agent_version}", _rows(one))
    _print_records([pasted for one, pasted in kept if one.validated])
    out.print(f"written to {target}", style="dim")


def record(found: confidence.Validation, data: str, today: date) -> Validation:
    """Return what a policy keeps of an audit: figures, verdict, and their name."""
    figures = {
        "auroc": found.auroc_end,
        "auroc_within": found.auroc_within,
        "verifier_auroc": found.verifier_auroc,
        "calibration_error": found.ece_debiased,
    }
    rounded = {name: _rounded(e.to_json()) for name, e in figures.items()}
    return Validation.named(
        signal=found.signal,
        agent_version=found.agent_version,
        validated=found.validated,
        reason=found.reason,
        made_on=today,
        data=data,
        n_tasks=found.n_known,
        n_needed=found.n_needed,
        **{name: e for name, e in rounded.items() if e is not None},
    )


def _rounded(estimate: dict[str, float | None] | None) -> dict[str, float] | None:
    """Return figures as a document shows them; None where an end is not known."""
    values = {} if estimate is None else estimate
    known = {name: round(v, 4) for name, v in values.items() if v is not None}
    return known if len(known) == len(("value", "low", "high")) else None


def _rows(one: confidence.Validation) -> list[tuple[str, Any]]:
    verdict = "validated" if one.validated else "not validated"
    known = f"{one.n_known} of {one.n_tasks}, {one.n_needed} of them needed a human"
    points = [
        (
            f"of those with doubt {point['risk']:.2f}",
            {**point["observed"]},
        )
        for point in one.reliability
    ]
    return [
        ("verdict", f"{verdict}: {one.reason}"),
        *(("but", caution) for caution in one.cautions),
        ("tasks in which it is known", known),
        ("AUROC, end of task", one.auroc_end.to_json()),
        ("AUROC, every step", one.auroc_every_step.to_json()),
        ("AUROC inside a domain", one.auroc_within.to_json()),
        ("AUROC of the domains' base rates", one.table_auroc.to_json()),
        ("AUROC of the verifier", one.verifier_auroc.to_json()),
        ("beyond the verifier", one.auroc_over_verifier.to_json()),
        ("calibration error", one.ece_debiased.to_json()),
        ("Brier score over the base rate's", one.brier_over_base_rate.to_json()),
        *points,
    ]


def _print_records(good: Sequence[Validation]) -> None:
    if not good:
        out.print(
            "nothing was validated, so no rule may read what the agent says; it takes "
            "labelled tasks whose agent messages state a `confidence`"
        )
        return
    document = {
        "validations": [one.model_dump(mode="json", exclude_none=True) for one in good]
    }
    out.print("[bold]For the policy[/], as it is; name an `id` under `validated`:")
    text = yaml.safe_dump(document, sort_keys=False, width=10_000)
    out.print(text, markup=False)
