"""ModelBundle: training's one value, as plain files; serving's only door to it.

A bundle is a directory: booster.txt, scorer.json, calibrator.json, sureness.json,
signals.json, certificates.json, reference.json, where the agent's words are bounded
floor.txt, and manifest.json with the SHA-256 of each of the others. Nothing in it is a
pickle, and no byte reaches LightGBM before its hash was checked: a broken model file
does not raise there, it kills the process.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from features.signals import NAMES, SIGNALS, schema_lines
from training.bundle.calibrator import Calibrator
from training.bundle.certificate import (
    Certificate,
    Refusal,
    SegmentBy,
    applicable,
)
from training.bundle.scorer import Scorer, Twin
from training.bundle.sureness import Sureness

__all__ = [
    "FORMAT",
    "MOST_SAID",
    "WORDS",
    "BundleError",
    "Calibrator",
    "Certificate",
    "Contribution",
    "ModelBundle",
    "Refusal",
    "SchemaMismatchError",
    "Scorer",
    "SegmentBy",
    "Sureness",
    "Twin",
    "now",
]

Floats = NDArray[np.float64]

FORMAT = "escalon.bundle/2"
_MANIFEST = "manifest.json"
_BOOSTER = "booster.txt"
_FLOOR = "floor.txt"
_SCORER = "scorer.json"
_CALIBRATOR = "calibrator.json"
_SURENESS = "sureness.json"
_SIGNALS = "signals.json"
_CERTIFICATES = "certificates.json"
_REFERENCE = "reference.json"
_PLAIN = (_SCORER, _CALIBRATOR, _SURENESS, _SIGNALS, _CERTIFICATES, _REFERENCE)
_STEPS = NAMES.index("steps")
_EXPECTED = NAMES.index("history_expected_rate")
_SPOKE = NAMES.index("since_agent_message")
# What an agent says can raise the score by so much and never lower it, log-odds.
MOST_SAID = 0.1
WORDS = tuple(i for i, signal in enumerate(SIGNALS) if signal.trust != "observed")


class BundleError(ValueError):
    """A directory that is not a sound bundle; says what is wrong with it."""


class SchemaMismatchError(BundleError):
    """A bundle made for other signals; the message is a diff of the two lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one signal adds to the score: contributions and base add up to it.

    Attributes
    ----------
    signal : str
        Name in the catalogue.
    value : float
        The signal's value; NaN where unknown.
    contribution : float
        Log-odds, positive raises the risk (TreeSHAP).
    """

    signal: str
    value: float
    contribution: float


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, kw_only=True)
class ModelBundle:
    """Booster, calibrator and certificate, bound to the signals they were made for.

    Attributes
    ----------
    scorer : Scorer
        Of all signals.
    calibrator : Calibrator
    sureness : Sureness
        How far the labels leave a risk open.
    certificate : Certificate
        Of all tasks.
    signals : tuple of str
        Schema lines of the signals, see `features.signals.schema_lines`.
    facts : mapping
        Version, creation time, data fingerprint, training window, library versions.
    segments : tuple of Certificate
        Of parts of the tasks, one per segment that was asked for.
    floor : Scorer or None
        Of the signals that no word of the agent's changes. Whatever the agent says,
        the score is never below the floor's, and at most `MOST_SAID` above it. None
        where the scorer reads nothing the agent says.
    reference : mapping
        What the signals were like in training, for `training.monitor.drift`.
    """

    scorer: Scorer
    calibrator: Calibrator
    sureness: Sureness
    certificate: Certificate
    signals: tuple[str, ...]
    facts: Mapping[str, Any]
    segments: tuple[Certificate, ...] = ()
    floor: Scorer | None = None
    reference: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The bundle's name for people: when it was made and of what."""
        return str(self.facts["version"])

    def certificate_for(self, facts: Mapping[str, str]) -> Certificate:
        """Return the certificate of the task's segment, else that of all tasks.

        Parameters
        ----------
        facts : Mapping of str to str
            The task's `domain`, `agent_version` and `tier`, as far as known.
        """
        return applicable(self.certificate, self.segments, facts)

    def _files(self) -> dict[str, bytes]:
        floor = None if self.floor is None else self.floor.to_json()
        certificates = [asdict(c) for c in (self.certificate, *self.segments)]
        files = {
            _BOOSTER: self.scorer.booster_text.encode(),
            _SCORER: _json({"all": self.scorer.to_json(), "floor": floor}),
            _CALIBRATOR: _json(asdict(self.calibrator)),
            _SURENESS: _json(asdict(self.sureness)),
            _SIGNALS: _json(list(self.signals)),
            _CERTIFICATES: _json(certificates),
            _REFERENCE: _json(dict(self.reference)),
        }
        if self.floor is not None:
            files[_FLOOR] = self.floor.booster_text.encode()
        return files

    @cached_property
    def manifest(self) -> bytes:
        """The manifest's bytes: facts, and the SHA-256 of every other file."""
        hashes = {name: _sha256(data) for name, data in self._files().items()}
        return _json({"format": FORMAT, "facts": dict(self.facts), "files": hashes})

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest: names the bundle in every decision."""
        return _sha256(self.manifest)

    def save(self, path: Path) -> None:
        """Write the bundle into the directory `path`; the manifest comes last."""
        path.mkdir(parents=True, exist_ok=True)
        files = self._files()
        for name, data in files.items():
            (path / name).write_bytes(data)
        if _FLOOR not in files:  # of a bundle that lay here before
            (path / _FLOOR).unlink(missing_ok=True)
        (path / _MANIFEST).write_bytes(self.manifest)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the bundle in the directory `path`.

        Raises
        ------
        BundleError
            If a file is missing, or is not the one the manifest names.
        SchemaMismatchError
            If it was made for other signals than this version computes.
        """
        manifest = _manifest(path)
        checked = {
            name: _checked(path, name, manifest["files"])
            for name in (_BOOSTER, *_PLAIN)
        }
        plain = {name: orjson.loads(checked[name]) for name in _PLAIN}
        _require_schema(path, plain[_SIGNALS])
        first, *others = map(Certificate.of, plain[_CERTIFICATES])
        floor = plain[_SCORER]["floor"]
        if floor is not None:
            text = _checked(path, _FLOOR, manifest["files"]).decode()
            floor = Scorer.of(text, floor)
        bundle = cls(
            scorer=Scorer.of(checked[_BOOSTER].decode(), plain[_SCORER]["all"]),
            floor=floor,
            calibrator=Calibrator.of(plain[_CALIBRATOR]),
            sureness=Sureness.of(plain[_SURENESS]),
            certificate=first,
            segments=tuple(others),
            signals=tuple(plain[_SIGNALS]),
            reference=plain[_REFERENCE],
            facts=manifest["facts"],
        )
        # Its hash names the bundle, so it must be this one, byte for byte.
        _checked(path, _MANIFEST, {_MANIFEST: bundle.digest})
        return bundle

    def scores(self, x: Floats, *, threads: int = 0) -> Floats:
        """Return the score (log-odds) of each row of `x`, shape (n_rows, n_signals)."""
        # Rows side by side, whatever they came from: sums must not differ in a bit.
        x = np.ascontiguousarray(x)
        score = self.scorer.scores(x, threads=threads)
        if self.floor is None:
            return score
        floor = self.floor.scores(x, threads=threads)
        return np.clip(score, floor, floor + MOST_SAID)

    def score(self, signals: Floats) -> float:
        """Return the score (log-odds) for signals of shape (n_signals,)."""
        # One thread: on a busy machine threads fight over a single row.
        return float(self.scores(signals.reshape(1, -1), threads=1)[0])

    def risk(self, signals: Floats) -> float:
        """Return the calibrated risk in [0, 1] for signals of shape (n_signals,)."""
        return self.calibrator.risk(
            self.score(signals),
            float(signals[_STEPS]),
            float(signals[_EXPECTED]),
            spoke=bool(signals[_SPOKE] == 0),
        )

    def risks(self, x: Floats) -> Floats:
        """Return the risk of each row of `x`, shape (n_rows, n_signals)."""
        return self.calibrator.risks(
            self.scores(x), x[:, _STEPS], x[:, _EXPECTED], spoke=x[:, _SPOKE] == 0
        )

    def between(self, signals: Floats) -> tuple[float, float]:
        """Return between which risks the labels leave it open, see `Sureness`."""
        low, high = self.sureness.between(np.array([self.score(signals)]))
        return float(low[0]), float(high[0])

    def explain(self, signals: Floats) -> tuple[Contribution, ...]:
        """Return what each signal adds to the score, largest first.

        They and `base` add up to `score`. Dear (TreeSHAP): for decisions that someone
        will read.
        """
        parts = self._parts(signals.reshape(1, -1))[0]
        found = [
            Contribution(signal=name, value=float(value), contribution=float(part))
            for name, value, part in zip(NAMES, signals, parts, strict=True)
        ]
        return tuple(sorted(found, key=lambda c: -abs(c.contribution)))

    @property
    def base(self) -> float:
        """The score before any signal has spoken (expected margin, log-odds)."""
        return self.scorer.start

    def contributions(self, x: Floats) -> Floats:
        """Return the contribution of each signal in each row of `x`, shape of `x`."""
        return self._parts(x)

    def _parts(self, x: Floats) -> Floats:
        parts = self.scorer.contributions(x, threads=1 if len(x) == 1 else 0)
        if self.floor is None:
            return parts
        score = self.scores(x)
        held = score != self.scorer.scores(x)
        if held.any():
            parts[held] = self._parts_of_floor(x[held], score[held], parts[held])
        return parts

    def _parts_of_floor(self, x: Floats, score: Floats, unbounded: Floats) -> Floats:
        """Return contributions where the agent's words would have said more.

        What the words add then is what is left of the score, in proportion to what
        they would have added.
        """
        parts = self.floor.contributions(x) if self.floor else unbounded
        words = list(WORDS)
        said = np.abs(unbounded[:, words]) + 1e-12
        left = score - self.base - parts.sum(axis=1)
        parts[:, words] += left[:, None] * said / said.sum(axis=1, keepdims=True)
        return parts


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = orjson.loads((path / _MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        msg = (
            f"{path} is not a bundle: its {_MANIFEST} cannot be read ({error}); "
            "`escalon train` writes one"
        )
        raise BundleError(msg) from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        msg = f"{path} must be of format {FORMAT}, found {found!r}; train it anew"
        raise BundleError(msg)
    facts, files = (manifest.get(name) for name in ("facts", "files"))
    told = isinstance(facts, dict) and "version" in facts
    if not told or not isinstance(files, dict):
        msg = (
            f"{path}: {_MANIFEST} must hold `files`, and `facts` with `version`, "
            f"found {sorted(manifest)}; it was changed after it was "
            "written, fetch it anew"
        )
        raise BundleError(msg)
    return dict(manifest)


def _checked(path: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    try:
        content = (path / name).read_bytes()
    except OSError as error:
        msg = f"bundle {path} lacks {name}; copy the whole directory ({error})"
        raise BundleError(msg) from error
    if _sha256(content) != hashes.get(name):
        msg = (
            f"bundle {path}: {name} must have SHA-256 {hashes.get(name)}, found "
            f"{_sha256(content)}; it was changed after it was written, fetch it anew"
        )
        raise BundleError(msg)
    return content


def _require_schema(path: Path, lines: list[str]) -> None:
    here = schema_lines()
    if lines == here:
        return
    diff = "\n".join(
        difflib.unified_diff(
            lines, here, f"signals of {path}", "signals of this version", lineterm=""
        )
    )
    msg = f"bundle {path} was made for other signals; train it anew\n{diff}"
    raise SchemaMismatchError(msg)


def now() -> str:
    """Return the time now as RFC 3339 text, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
