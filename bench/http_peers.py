"""The HTTP servers that the hub is compared with: Flask under gunicorn, InfluxDB, a sink."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import psycopg

from bench.harness import Settings, Skipped
from bench.original_http import TABLE
from bench.peers import free_port
from bench.processes import ProcessFailed
from bench.servers import ROOT

GUNICORN_WORKERS: Final = 2

DATABASE: Final = "bench"
"""Name of the database in InfluxDB."""

_START_SECONDS: Final = 30.0
_READINGS_PER_ROW: Final = 2
