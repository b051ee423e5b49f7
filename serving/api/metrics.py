"""Metrics for Prometheus. No label ever names a task, a person or an account."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from serving.api.delivery_metrics import Load, Outbox
from serving.engine.auditor import Sound
from serving.store.alarms import Raised

Found = tuple[Sequence[Raised], frozenset[str]]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))
# From well under the disk's sync to far over any deadline of an agent, in s.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """Counts of what was decided, and the state of the queues when asked.

    Parameters
    ----------
    queues, health : callable
        Return the engine's answers of these names; called at each scrape.
    found : callable
        Returns the alarms that are open, and the segments whose certificate does not
        hold.
    sound : callable, optional
        Returns what the auditor found.
    acts : callable
        Returns how often agents acted after a handover.
    deliveries : callable
        Returns how each channel does.
    """

    def __init__(
        self,
        queues: Callable[[], Mapping[str, Any]],
        health: Callable[[], Mapping[str, Any]],
        found: Callable[[], Found] = lambda: ((), frozenset()),
        sound: Callable[[], Sound] | None = None,
        acts: Callable[[], int] = lambda: 0,
        *,
        deliveries: Load = list,
    ) -> None:
        # A registry of its own: two services in one process do not mix.
        self._registry = CollectorRegistry()
        self._registry.register(_State(queues, health))
        self._registry.register(_Alarms(found))
        self._registry.register(_Acts(acts))
        self._registry.register(Outbox(deliveries))
        if sound is not None:
            self._registry.register(_Soundness(sound))
        self._decisions = Counter(
            "escalon_decisions",
            "Decisions, by what the agent was told and by who decided.",
            ("action", "source", "effective"),
            registry=self._registry,
        )
        self._risk = Histogram(
            "escalon_risk",
            "Calibrated risk of the steps decided by the model.",
            buckets=_TENTHS,
            registry=self._registry,
        )
        self._latency = Histogram(
            "escalon_decision_seconds",
            "Time from a step read to its answer durable, in s.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._problems = Counter(
            "escalon_problems",
            "Calls refused, by the slug of the problem.",
            ("type",),
            registry=self._registry,
        )

        self._lacking = Counter(
            "escalon_packages_lacking",
            "Packages that were handed over poorer than they should be, by part.",
            ("part",),
            registry=self._registry,
        )

    def lacked(self, parts: Iterable[str]) -> None:
        """Count what the package of one handover lacks, by the names of its parts."""
        for part in parts:
            self._lacking.labels(part).inc()

    def decided(self, decision: Mapping[str, Any], seconds: float | None) -> None:
        """Count one decision, as the engine answers it, that took `seconds`.

        None where nobody waits for it: of spans that were received.
        """
        effective = "true" if decision["effective"] else "false"
        self._decisions.labels(decision["action"], decision["source"], effective).inc()
        if seconds is not None:
            self._latency.observe(seconds)
        if decision["risk"] is not None:
            self._risk.observe(decision["risk"])

    def refused(self, problem: str) -> None:
        """Count one problem, by its type."""
        self._problems.labels(problem.rpartition(":")[2]).inc()

    def exposed(self) -> bytes:
        """Return the text form that Prometheus scrapes."""
        return generate_latest(self._registry)


class _State(Collector):
    """Gauges read from the engine when somebody asks, so never stale."""

    def __init__(
        self,
        queues: Callable[[], Mapping[str, Any]],
        health: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._queues = queues
        self._health = health

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield depth and oldest wait of each queue, and what decides."""
        depth = GaugeMetricFamily(
            "escalon_queue_waiting", "Handoffs that wait.", labels=("queue",)
        )
        oldest = GaugeMetricFamily(
            "escalon_queue_oldest_seconds", "The longest wait, in s.", labels=("queue",)
        )
        for queue in self._queues()["queues"]:
            depth.add_metric((queue["queue"],), queue["waiting"])
            oldest.add_metric((queue["queue"],), queue["oldest_s"])
        yield from (depth, oldest)
        health = self._health()
        info = {
            "model": health["model"]["version"] or "none",
            "policy": health["policy"]["version"],
            "mode": health["policy"]["mode"],
        }
        yield InfoMetricFamily("escalon_live", "What decides now.", value=info)
        yield GaugeMetricFamily(
            "escalon_degradation_rung",
            "0: the model decides; 1: the last good one does; 2: rules alone.",
            value=health["rung"],
        )


class _Soundness(Collector):
    """Whether handovers are on their way, read when somebody asks."""

    def __init__(self, sound: Callable[[], Sound]) -> None:
        self._sound = sound

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield what the auditor found, how long ago all was well, and broken words."""
        sound = self._sound()
        looks = GaugeMetricFamily(
            "escalon_auditor_found",
            "What the auditor found last, by what it looked at.",
            labels=("look",),
        )
        for look, count in sorted(sound.looks.items()):
            looks.add_metric((look,), count)
        yield looks
        yield GaugeMetricFamily(
            "escalon_auditor_good_age_seconds",
            "Time since a round of the auditor in which all was well, in s.",
            value=sound.age_s,
        )
        yield GaugeMetricFamily(
            "escalon_store_writable",
            "1 unless a write has failed and none has lasted since.",
            value=float(sound.is_writable),
        )


class _Acts(Collector):
    """How often agents acted after a handover, as the store has it."""

    def __init__(self, acts: Callable[[], int]) -> None:
        self._acts = acts

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield the count over all processes that share the store."""
        yield CounterMetricFamily(
            "escalon_acts_after_handover",
            "Acts of agents after they had lost the task.",
            value=self._acts(),
        )


class _Alarms(Collector):
    """What monitors have found, read when somebody asks."""

    def __init__(self, found: Callable[[], Found]) -> None:
        self._found = found

    def describe(self) -> Iterator[Any]:
        """Yield nothing: the registry need not ask the engine to take us in."""
        yield from ()

    def collect(self) -> Iterator[Any]:
        """Yield the open alarms by code and severity, and the withdrawn certificates.

        A segment can name an agent version or a tier, never a person: it stays out all
        the same, for a label must not grow without end.
        """
        alarms, withdrawn = self._found()
        gauge = GaugeMetricFamily(
            "escalon_alarms_open", "Alarms that stand.", labels=("code", "severity")
        )
        counts = Counted(
            (str(raised.alarm.code), str(raised.alarm.severity)) for raised in alarms
        )
        for labels, n in sorted(counts.items()):
            gauge.add_metric(labels, n)
        yield gauge
        yield GaugeMetricFamily(
            "escalon_certificates_withdrawn",
            "Certificates of the model in force that do not hold.",
            value=len(withdrawn),
        )
