"""In which language to talk to people."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redemption.client import Lang


def language(chosen: str | None) -> "Lang":
    """Return what was chosen, else what the locale says; anything that is not Chinese is told in English."""
    # The variables themselves, since ``locale`` knows only the locales that are installed.
    locale = chosen or next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh" if locale.lower().startswith("zh") else "en"
