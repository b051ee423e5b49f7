"""Withdrawals: certificates that were found not to hold, as each decision asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from serving.policy.decision import Certified
from serving.store import alarms
from serving.store.transaction import Reader, Transaction

_Held = Mapping[str, frozenset[str]]


class _Promising(Protocol):
    """What is asked of a model here."""

    @property
    def digest(self) -> str: ...

    @property
    def certificate(self) -> Certified: ...


class Withdrawals:
    """Segments whose certificate was withdrawn, by the SHA-256 of the bundle.

    All of it can be read from the store again: a certificate is withdrawn from the
    alarm that withdraws it until a person clears that. Another bundle has another hash
    and is not touched; one that comes back into force comes back without its promise.
    """

    def __init__(self) -> None:
        # One value, so that who reads in another thread sees both of one moment.
        self._held: tuple[int, _Held] = (-1, {})

    def refresh(self, reader: Reader) -> None:
        """Take what stands in the store, if that is later than what is known.

        Another process may have raised an alarm, or cleared one.
        """
        if alarms.changed_at(reader) > self._held[0]:
            self._held = self._read(reader)

    def _read(self, reader: Reader) -> tuple[int, _Held]:
        held: dict[str, frozenset[str]] = {}
        for raised in alarms.withdrawing(reader):
            segments = held.get(raised.model, frozenset())
            held[raised.model] = segments | {raised.alarm.withdraws or ""}
        return alarms.changed_at(reader), held

    def changed(self, tx: Transaction) -> None:
        """Take what stands now that alarms were written; undone if `tx` is."""
        before = self._held
        tx.on_rollback(lambda: self._restore(before))
        self._held = self._read(tx)

    def of(self, digest: str) -> frozenset[str]:
        """Return the segments whose certificate is withdrawn; "" is that of all."""
        return self._held[1].get(digest, frozenset())

    def standing(
        self, model: _Promising, certificate: Certified
    ) -> tuple[Certified, bool]:
        """Return the certificate to go by in place of `certificate`.

        That of all tasks where the segment's own is withdrawn and that one stands and
        is stricter: fewer tasks pass it. Otherwise the same, and whether it is
        withdrawn.
        """
        gone = self.of(model.digest)
        if certificate.threshold is None or certificate.segment not in gone:
            return certificate, False
        general = model.certificate
        stands = general.threshold is not None and "" not in gone
        if stands and (general.threshold or 0.0) < certificate.threshold:
            return general, False
        return certificate, True

    def _restore(self, before: tuple[int, _Held]) -> None:
        self._held = before
