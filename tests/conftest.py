"""What every test must leave behind: no logged failure, no timer, no socket."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import LogEvent, globalLogPublisher

from tests.fakes import LoggedFailures

# Machines that run the tests are slow and shared: what a test computes counts, not how long it took.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def logged_failures() -> Iterator[LoggedFailures]:
    """Failures logged during the test; those that a test does not `flush` fail it."""
    failures = LoggedFailures()

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            failures.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    yield failures
    globalLogPublisher.removeObserver(observe)
    assert not failures, f"logged: {failures[0].getTraceback()}"


@pytest.fixture(autouse=True)
def clean_reactor() -> Iterator[None]:
    """No delayed call and no socket may outlive the test that made it."""
    from twisted.internet import reactor

    before_calls = set(reactor.getDelayedCalls())  # type: ignore[attr-defined]
    before_sockets = set(reactor.getReaders())  # type: ignore[attr-defined]
    yield
    calls = [call for call in reactor.getDelayedCalls() if call not in before_calls]  # type: ignore[attr-defined]
    for call in calls:
        call.cancel()
    sockets = [reader for reader in reactor.getReaders() if reader not in before_sockets]  # type: ignore[attr-defined]
    sockets = [reader for reader in sockets if "Waker" not in type(reader).__name__]
    assert not calls, f"timers left: {calls}"
    assert not sockets, f"sockets left: {sockets}"
