"""ModelBundle: training's one value, as plain files; serving's only door to it.

A bundle is a directory: booster.txt, calibrator.json, signals.json, certificates.json
and manifest.json with the SHA-256 of each of the others. Nothing in it is a pickle, and
no byte reaches LightGBM before its hash was checked: a broken model file does not raise
there, it kills the process.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
import orjson
from numpy.typing import NDArray

from features.signals import NAMES, schema_lines
from training.bundle.calibrator import Calibrator
from training.bundle.certificate import Certificate, Refusal

__all__ = [
    "FORMAT",
    "BundleError",
    "Calibrator",
    "Certificate",
    "Contribution",
    "ModelBundle",
    "Refusal",
    "SchemaMismatchError",
    "now",
]

FORMAT = "escalon.bundle/1"
_MANIFEST = "manifest.json"
_BOOSTER = "booster.txt"
_CALIBRATOR = "calibrator.json"
_SIGNALS = "signals.json"
_CERTIFICATES = "certificates.json"
_FACTS = frozenset({"version", "base"})
_STEPS = NAMES.index("steps")


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
    booster_text : str
        The LightGBM model in its text format.
    calibrator : Calibrator
    certificate : Certificate
        Of all tasks.
    signals : tuple of str
        Schema lines of the signals, see `features.signals.schema_lines`.
    facts : mapping
        Version, creation time, data fingerprint, training window, library versions.
    segments : tuple of Certificate
        Of parts of the tasks, one per segment that was asked for.
    """

    booster_text: str
    calibrator: Calibrator
    certificate: Certificate
    signals: tuple[str, ...]
    facts: Mapping[str, Any]
    segments: tuple[Certificate, ...] = ()

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.booster_text)

    @property
    def version(self) -> str:
        """The bundle's name for people: when it was made and of what."""
        return str(self.facts["version"])

    def _files(self) -> dict[str, bytes]:
        return {
            _BOOSTER: self.booster_text.encode(),
            _CALIBRATOR: _json(asdict(self.calibrator)),
            _SIGNALS: _json(list(self.signals)),
            _CERTIFICATES: _json(
                [asdict(c) for c in (self.certificate, *self.segments)]
            ),
        }

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
        for name, data in self._files().items():
            (path / name).write_bytes(data)
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
        files = {
            name: _checked(path, name, manifest["files"])
            for name in (_BOOSTER, _CALIBRATOR, _SIGNALS, _CERTIFICATES)
        }
        _require_schema(path, orjson.loads(files[_SIGNALS]))
        certificates = [Certificate.of(c) for c in orjson.loads(files[_CERTIFICATES])]
        bundle = cls(
            booster_text=files[_BOOSTER].decode(),
            calibrator=Calibrator.of(orjson.loads(files[_CALIBRATOR])),
            certificate=certificates[0],
            segments=tuple(certificates[1:]),
            signals=tuple(orjson.loads(files[_SIGNALS])),
            facts=manifest["facts"],
        )
        # Its hash names the bundle, so it must be this one, byte for byte.
        _checked(path, _MANIFEST, {_MANIFEST: bundle.digest})
        return bundle

    def score(self, signals: NDArray[np.float64]) -> float:
        """Return the raw margin (log-odds) for signals of shape (n_signals,)."""
        # One thread: on a busy machine threads fight over a single row.
        row = signals.reshape(1, -1)
        return float(self._booster.predict(row, raw_score=True, num_threads=1)[0])

    def risk(self, signals: NDArray[np.float64]) -> float:
        """Return the calibrated risk in [0, 1] for signals of shape (n_signals,)."""
        return self.calibrator.risk(self.score(signals), float(signals[_STEPS]))

    def risks(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the risk of each row of `x`, shape (n_rows, n_signals)."""
        score = np.asarray(self._booster.predict(x, raw_score=True))
        return self.calibrator.risks(score, x[:, _STEPS])

    def explain(self, signals: NDArray[np.float64]) -> tuple[Contribution, ...]:
        """Return what each signal adds to the score, largest first.

        They and `base` add up to `score`. Computed by the booster's own TreeSHAP, some
        thirty times the cost of a score: for decisions that someone will read.
        """
        row = signals.reshape(1, -1)
        parts = self._booster.predict(row, pred_contrib=True, num_threads=1)[0]
        found = [
            Contribution(signal=name, value=float(value), contribution=float(part))
            for name, value, part in zip(NAMES, signals, parts[:-1], strict=True)
        ]
        return tuple(sorted(found, key=lambda c: -abs(c.contribution)))

    @property
    def base(self) -> float:
        """The score before any signal has spoken (expected margin, log-odds)."""
        return float(self.facts["base"])

    def contributions(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the contribution of each signal in each row of `x`, shape of `x`."""
        return np.asarray(self._booster.predict(x, pred_contrib=True))[:, :-1]


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
    told = isinstance(facts, dict) and facts.keys() >= _FACTS
    if not told or not isinstance(files, dict):
        msg = (
            f"{path}: {_MANIFEST} must hold `files`, and `facts` with `base` and "
            f"`version`, found {sorted(manifest)}; it was changed after it was "
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
