"""How much is tried: what finds mistakes within minutes, or with ``make test-thorough`` ten times as much."""

from hypothesis import HealthCheck, settings

TIMES = 10
# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("ordinary", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("ordinary"), max_examples=100 * TIMES)
settings.load_profile("ordinary")


def tries(ordinary):
    """How often to try something, told how often in an ordinary run."""
    return ordinary * (TIMES if settings.get_current_profile_name() == "thorough" else 1)
