"""One scenario a file; each is a function from the settings to its cases."""

from bench.harness import Scenario
from bench.scenarios import (
    alerts,
    burst,
    colour,
    dashboards,
    fanout,
    fold,
    http,
    idle,
    journal,
    json_objects,
    mqtt,
    pages,
    retention,
    short,
    sustained,
    units,
    year,
)

SCENARIOS: dict[str, Scenario] = {
    "burst": burst.cases,
    "sustained": sustained.cases,
    "short": short.cases,
    "idle": idle.cases,
    "journal": journal.cases,
    "json": json_objects.cases,
    "http": http.cases,
    "fold": fold.cases,
    "mqtt": mqtt.cases,
    "units": units.cases,
    "colour": colour.cases,
    "fanout": fanout.cases,
    "alerts": alerts.cases,
    "dashboards": dashboards.cases,
    "pages": pages.cases,
    "retention": retention.cases,
    "year": year.cases,
}
"""Every scenario by the name that the command line gives it."""
