"""`petrel observe`: a Prometheus with the rules and targets of a running system."""

from __future__ import annotations

import argparse

from chaos.cli.command import command, directory
from chaos.errors import VALID


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--port", type=_port, default=9090, metavar="PORT", help="of Prometheus; default: 9090; 0: any")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port from 0 to 65535, not {text!r}")
    return int(text)


@command("observe", "start Prometheus beside a running system and print where it listens", _options, directory)
def observe(options: argparse.Namespace) -> int:
    """Run Prometheus until Ctrl-C, or until the system is down."""
    import time

    from chaos.cli import lifecycle
    from chaos.run.interrupt import Interrupt
    from chaos.run.observe import prometheus
    from chaos.screen.console import for_people

    say = for_people().print
    prometheus.program()
    system = lifecycle.running(options.dir)
    place = system.topology.path / "observe"
    with Interrupt() as interrupt, prometheus.beside(system, place, port=options.port) as observed:
        say(f"Prometheus {observed.url} (alerts: {observed.url}/alerts); its data is in {place / 'data'}")
        say(f"exporter   {observed.exporter_url}")
        for service in system.topology.services:
            if "metrics" in service.ports:
                say(f"{service.name:<10} http://{service.metrics_host}:{service.ports['metrics']}/metrics")
        say("dashboards for Grafana are in dashboards/grafana/json; Ctrl-C ends Prometheus, the system stays")
        while not interrupt.asked and system.running:
            time.sleep(0.2)
    return VALID
