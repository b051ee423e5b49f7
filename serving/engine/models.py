"""Models: where the service finds the model that decides, or learns of none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.policy.decision import Certified
from serving.policy.package import Contributed
from serving.safely import Failure, attempt
from training.bundle import ModelBundle

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[str, int, int], ...]


class Model(Protocol):
    """What serving needs of a model; a `ModelBundle` is one."""

    @property
    def version(self) -> str:
        """Its version in the registry."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its manifest."""
        ...

    @property
    def certificate(self) -> Certified:
        """What is promised of its threshold."""
        ...

    def certificate_for(self, facts: Mapping[str, str], /) -> Certified:
        """Return what is promised of tasks with these `domain`, `tier` and so on."""
        ...

    @property
    def base(self) -> float:
        """Where the contributions start, log-odds."""
        ...

    def risk(self, signals: NDArray[np.float64], /) -> float:
        """Return the calibrated risk for signals of shape (n_signals,)."""
        ...

    def score(self, signals: NDArray[np.float64], /) -> float:
        """Return the raw margin, log-odds."""
        ...

    def between(self, signals: NDArray[np.float64], /) -> tuple[float, float]:
        """Return between which risks the labels behind the model leave it open."""
        ...

    def explain(self, signals: NDArray[np.float64], /) -> Sequence[Contributed]:
        """Return what each signal adds to the score, largest first."""
        ...


class ModelSource(Protocol):
    """Gives the model in force. Called at every decision: it must be quick."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the newest model, for people; None if nothing is."""
        ...

    def current(self) -> Model | None:
        """Return the model that decides; None if there is none, then rules do.

        Raises
        ------
        BundleError
            If there should be one and it cannot be used.
        """
        ...


class NoModel:
    """A service that has been given no model: rules decide."""

    @property
    def problem(self) -> str | None:
        """Nothing is wrong: none was asked for."""
        return None

    def current(self) -> Model | None:
        """Return None."""
        return None


class DirectoryModel:
    """The bundle in a directory, read again when its files change.

    A bundle that does not load is not used: the last good one stays in force, and
    `problem` says why.

    Parameters
    ----------
    path : Path
        Directory of the bundle.
    every : float
        Shortest time, in s, between two looks at the directory.
    clock : callable
        Monotonic time, in s.
    """

    def __init__(
        self,
        path: Path,
        *,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._every = every
        self._clock = clock
        self._next_look = clock()
        self._seen: _Stamp | None = None
        self._bundle: Model | None = None
        self._problem: str | None = None
        self._gate = threading.Lock()

    @property
    def problem(self) -> str | None:
        """What is wrong with what lies in the directory; None if nothing is."""
        return self._problem

    def current(self) -> Model | None:
        """Return the last bundle that loaded, after a look at the directory."""
        with self._gate:
            now = self._clock()
            if now >= self._next_look:
                self._next_look = now + self._every
                self._look()
            return self._bundle

    def _look(self) -> None:
        stamp = attempt(lambda: _stamp(self._path))
        if isinstance(stamp, Failure):
            self._refuse(stamp)
            return
        if stamp == self._seen:
            return
        self._seen = stamp
        loaded = attempt(lambda: ModelBundle.load(self._path))
        if isinstance(loaded, Failure):
            self._refuse(loaded)
        else:
            self._bundle, self._problem = loaded, None

    def _refuse(self, failure: Failure) -> None:
        """Say what is wrong; whatever it is, the last good bundle still decides."""
        error, before = failure.error, self._problem
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            # Of the machine, not of the bundle: the same files may load a moment later.
            self._seen = None
        self._problem = f"{failure.name}: {error}"
        if self._problem != before:
            fault = {"action": "bundle_refused", "fault": failure.name}
            _log.warning("bundle refused", extra=fault)


def made_at(bundle: Model) -> datetime | None:
    """Return when `bundle` was made; None if it does not say, or not in our words."""
    told = getattr(bundle, "facts", {}).get("made_at")
    if not isinstance(told, str):
        return None
    made = attempt(lambda: datetime.fromisoformat(told))
    if isinstance(made, Failure):
        return None
    return made if made.utcoffset() is not None else made.replace(tzinfo=UTC)


def _stamp(directory: Path) -> _Stamp:
    """Return name, change time and size of what lies in `directory`."""
    if not directory.is_dir():
        return ()
    stats = sorted((path.name, path.stat()) for path in directory.iterdir())
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
