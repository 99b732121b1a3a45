"""allweather config."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.checks import read_token
from allweather.cli.console import handle_errors, print_result
from allweather.cli.options import AsJson
from allweather.runtimes.errors import UsageError


@handle_errors
def config(
    check: Annotated[
        Path | None,
        typer.Option(
            help="Configuration to check: keys, types, secrets, the bundle, its engine, and the policies. No camera is "
            "opened, and no engine."
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a configuration, for editors and other tools.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checks the configuration of allweather run --config, or prints its schema."""
    from allweather.site.config import SiteConfig
    from allweather.site.read import read_site

    if schema == (check is not None):
        raise UsageError("give either --check FILE or --schema")
    if check is None:
        typer.echo(json.dumps(SiteConfig.model_json_schema(), indent=2))
        return
    from allweather.runtimes.bundle.bundle import Bundle
    from allweather.runtimes.engines.open import check_model
    from allweather.runtimes.load import budget_from_ms, resolve_policy
    from allweather.runtimes.monitor.routes import check_token
    from allweather.site.open_site import check_threshold

    site = read_site(check, token=read_token(os.environ.get("ALLWEATHER_TOKEN", "")))
    if site.address is not None:
        check_token(site.address[0], site.token)
    bundle = Bundle.open(site.models.bundle)
    check_model(bundle, site.models.engine, site.models.precision)
    cameras = []
    for camera in site.cameras:
        budget_from_ms(camera.budget_ms)
        policy = resolve_policy(bundle, camera.policy)
        check_threshold(camera, policy)
        cameras.append({"name": camera.name, "policy": policy.name, "budget_ms": camera.budget_ms})
    facts = {"config": str(check), "bundle": site.models.bundle, "classes": len(bundle.classes)}
    if as_json:
        print_result({**facts, "cameras": cameras}, True, "config")
        return
    for each in cameras:
        budget = "no budget" if each["budget_ms"] is None else f"{each['budget_ms']:g} ms"
        facts[f"camera {each['name']}"] = f"{each['policy']}, {budget}"
    print_result(facts, False, "config")
