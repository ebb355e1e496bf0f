"""Stand-ins of a few lines each, for what a room does not know."""

from twisted.python.failure import Failure


class LoggedFailures(list[Failure]):
    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """Take out the failures of these kinds: the test expected them."""
        taken = [failure for failure in self if failure.check(*kinds)]
        self[:] = [failure for failure in self if not failure.check(*kinds)]
        return taken
