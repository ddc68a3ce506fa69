"""The original HTTP system's way, made anew: Flask, a PostgreSQL connection for every post.

Written from the description of what it did; it runs under gunicorn in an environment that the
bench makes. Unlike the original it inserts every sensor of a post and fails when that fails.
``BENCH_DATABASE`` is the database's URL.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

import psycopg
from flask import Flask, request  # type: ignore[import-not-found]

app: Any = Flask(__name__)


@app.post("/")  # type: ignore[untyped-decorator]
def take() -> tuple[str, int, dict[str, str]]:
    """Insert a row for each sensor and answer as the original did."""
    post = request.get_json()
    moment = datetime.strptime(post["timestamp"], "%m/%d/%Y %H:%M:%S")  # noqa: DTZ007 - local
    with psycopg.connect(os.environ["BENCH_DATABASE"]) as connection:
        for sensor in post["sensors"]:
            connection.execute(
                "INSERT INTO home_data VALUES (%s, %s, %s, %s)",
                (post["location"], moment, sensor["temperature"], sensor["humidity"]),
            )
    text = f"[{post['timestamp']}] Successfully received and inserted into database."
    return text, 200, {"Content-Type": "text/plain"}
