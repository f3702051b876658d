"""What each server is given to do, the same for all, and what keeping up means. In: figures of a run. Out: whether it holds. Bounded: plain data."""

from dataclasses import dataclass, replace

TOO_LATE_MS = 50
# Of what should have been delivered. A source that falls behind its rate is a server that does not keep up.
ENOUGH = 0.97


@dataclass(frozen=True)
class Job:
    # Updates a second, in turn over the topics.
    rate: int
    clients: int = 1000
    topics: int = 100
    topics_per_client: int = 10
    seconds: int = 6
    warmup: int = 1
    # Seconds for all to connect and to be exact again, beside the time measured; who does not keep up also connects slowly.
    patience: int = 40
    # For the load client.
    arguments: tuple = ()

    def wanted_per_second(self):
        return self.rate * self.clients * self.topics_per_client / self.topics

    def but(self, **changes):
        return replace(self, **changes)


W1 = Job(500)
IDLE = Job(1, seconds=1)
W3 = Job(20_000, clients=100, topics=1000, topics_per_client=1000, warmup=2, patience=25, arguments=("--shape", "many"))
W4 = Job(2_000, clients=200, topics_per_client=100, seconds=14, warmup=2, patience=35,
         arguments=("--stall", "10%", "--stall-after", "1s", "--stall-for", "10s"))  # fmt: skip


def keeps_up(figures):
    return figures.get("delivered_share", 0) >= ENOUGH


def holds(figures):
    """Everything that was made came, in time."""
    return figures["ok"] and keeps_up(figures) and not figures["gaps"] and figures["p99_ms"] < TOO_LATE_MS
