"""A consumer that says in its reports what the hub told it: frames, and how often news.

Started as ``python -m tests.unit.listening_consumer TROUBLE``; TROUBLE may be empty.
"""

from __future__ import annotations

import sys

from motehub.following import Hub, Report, begin, tell


def main() -> None:
    """Listen until the hub is gone."""
    begin()
    hub = Hub()
    position = frames = news = 0
    while hub.lives:
        tell(Report(position, {"frames": frames, "news": news}, sys.argv[1] or None))
        if hub.wait(60) and hub.lives:
            told = hub.news()
            if told is None:
                news += 1
            else:
                frames += len(told)
                position = told[-1][0] if told else position


if __name__ == "__main__":
    main()
