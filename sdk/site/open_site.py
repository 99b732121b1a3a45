"""Loads the models of a site, and opens its cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.engines.open import check_model
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load_several
from allweather.runtimes.loop.several_cameras import CameraLoop
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.temporal import Smoothing
from allweather.runtimes.tta.policy import Policy
from allweather.site.kept_video import keep_video
from allweather.site.site import Site, SiteCamera


@dataclass(frozen=True)
class LoadedSite:
    """A site whose models are loaded.

    Attributes:
        site: The site.
        perceivers: One for each camera; they share the engines, which the first one closes.
        manifest: Description of the bundle, with the hashes of its files: a path may lead to another bundle later.
    """

    site: Site
    perceivers: Sequence[Perceiver]
    manifest: Manifest

    def close(self) -> None:
        """Closes the engines."""
        self.perceivers[0].close()

    def close_unless_shared(self, other: LoadedSite) -> None:
        """Closes the engines, unless they are those of another site."""
        if self.perceivers is not other.perceivers:
            self.close()


def load_site(site: Site) -> LoadedSite:
    """Loads the models of a site.

    Raises:
        UsageError: The bundle has no classifier for the engine, or in the precision, that the configuration names.
        AllweatherError: As `allweather.load`.
    """
    models = site.models
    bundle = Bundle.open(models.bundle)
    check_model(bundle, models.engine, models.precision)
    uses = [(camera.budget_ms, camera.policy) for camera in site.cameras]
    perceivers = load_several(
        Path(models.bundle),
        uses,
        engine=models.engine,
        precision=models.precision,
        threads=models.threads,
        max_boxes=max(camera.num_regions for camera in site.cameras),
    )
    return LoadedSite(site, perceivers, bundle.manifest)


@contextmanager
def opened_cameras(loaded: LoadedSite, *, again: bool = False) -> Iterator[tuple[list[CameraLoop], list[LivePreview]]]:
    """Opens the cameras of a site, and closes them at the end of the `with` block.

    Args:
        loaded: The site with its models.
        again: Whether this program has recorded videos before, under an earlier configuration; these are kept.

    Yields:
        A loop for each camera, and what the page shows of it.

    Raises:
        CameraError: A file or folder cannot be opened.
        UsageError: What a source or an output names cannot work.
    """
    loops: list[CameraLoop] = []
    previews: list[LivePreview] = []
    try:
        for camera, perceiver in zip(loaded.site.cameras, loaded.perceivers, strict=True):
            check_threshold(camera, perceiver.policy)
            source = open_camera(camera.source, name=camera.name, live=camera.live, wait_seconds=camera.wait)
            stats = LoopStats()
            preview = LivePreview(source, stats, perceiver.budget)
            sinks = camera.outputs.sinks(source)
            if again and camera.outputs.video:
                keep_video(camera.outputs.video)
            shown = [*sinks, preview] if loaded.site.address else sinks
            smoothing = None if camera.smooth_frames is None else Smoothing(camera.smooth_frames)
            loops.append(CameraLoop(source, perceiver, shown, stats, camera.region, smoothing=smoothing))
            previews.append(preview)
        yield loops, previews
    finally:
        for loop in loops:
            loop.camera.close()


def check_threshold(camera: SiteCamera, policy: Policy) -> None:
    """Checks that a camera that sends accepted decisions alone follows a policy that accepts any.

    Raises:
        UsageError: The policy has no threshold, so that nothing would ever be sent.
    """
    model = policy.confidence_model
    if camera.outputs.accepted_only and (model is None or model.acceptance is None):
        raise UsageError(
            f"camera {camera.name or camera.source}: policy {policy.name} has no threshold of accepted "
            "decisions, so that accepted_only would send none; find one by 'allweather tune-policy --risk'"
        )
