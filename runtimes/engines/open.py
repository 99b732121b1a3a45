"""Opens the engine that runs a bundle's model on this device, and checks it on the golden frames."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model, Role
from allweather.runtimes.engines.base import CompiledModel, Engine, EngineSpec
from allweather.runtimes.engines.registry import check_engine, engine_spec, start_engine
from allweather.runtimes.engines.watchdog import STALL_FACTOR, run_within
from allweather.runtimes.errors import (
    BundleError,
    DependencyError,
    EngineError,
    NotBuiltError,
    ParityError,
    UsageError,
)
from allweather.runtimes.types import Floats, Image

BATCH_SIZE = 50  # of `infer_all`
START_SECONDS = 600.0  # limit of starting an engine: compiling a large model for a GPU or an NPU takes minutes
GOLDEN_SECONDS = 60.0  # limit of replaying the golden frames, besides `STALL_FACTOR` times the time at the export
ROLE_NAMES = {"classifier": "classifier", "predictor": "loss predictor", "large": "large classifier"}
log = logging.getLogger(__name__)


def open_engine(
    bundle: Bundle,
    engine: str | None = None,
    precision: str | None = None,
    role: Role = "classifier",
    threads: int | None = None,
) -> tuple[Engine, Model | None]:
    """Starts an engine on the best fitting model of a bundle, and checks that it gives the golden outputs.

    Args:
        bundle: An opened bundle.
        engine: Name of an engine, see `engine_names`; None for the first by preference that runs on this device.
        precision: "fp32", "bf16", "fp16" or "int8"; None for the one that the bundle prefers.
        role: Which of the bundle's models to run.
        threads: Number of CPU threads, at least 1; None for all cores.

    Returns:
        The engine, and the model that it runs; None for the fake engine, which needs no model.

    Raises:
        EngineError: No model fits, no engine runs here (all reasons are listed), a library cannot load the model, or
            starting it or running it on the golden frames takes far too long.
        NotBuiltError: The engine that was named has to be built on this device first.
        ParityError: The engine's outputs on the golden frames differ from those at the export.
        BundleError: The bundle is damaged, or has no loss predictor that can be used.
        UsageError: There is no such engine.
    """
    spec = None if engine is None else engine_spec(engine)
    if spec is not None and spec.runs is None:
        no_model = CompiledModel(b"", b"", "fp32", bundle.input_of(role), bundle.outputs(role))
        return start_engine(spec.name, no_model), None
    missing: list[str] = []
    unbuilt: list[str] = []
    for model in _candidates(bundle, spec, precision, role):
        name = spec.name if spec else model.engine
        compiled = compiled_model(bundle, model, threads)
        try:
            check_engine(name)
            started = run_within(START_SECONDS, partial(start_engine, name, compiled), f"starting the engine {name}")
        except DependencyError as error:
            missing.append(str(error))
            continue
        except NotBuiltError as error:
            if spec is not None:
                raise
            if not unbuilt:
                log.warning("%s: %s; another engine is used until then", bundle.path, error)
            unbuilt.append(str(error))
            continue
        run_within(
            _golden_seconds(bundle, model),
            partial(_check_golden_outputs, bundle, model, name, started),
            f"{bundle.path}: running {model.file} on the golden frames",
            started,
        )
        return started, model
    reasons = "; ".join(dict.fromkeys(unbuilt + missing))
    if spec is not None:
        raise EngineError(
            f"{spec.name} cannot run {bundle.path} here; name another engine, or do not name one: {reasons}"
        )
    raise EngineError(f"no engine here can run {bundle.path}: {reasons}")


def check_model(bundle: Bundle, engine: str | None, precision: str | None) -> None:
    """Checks that a bundle has a classifier for an engine and in a precision, without loading a library.

    Raises:
        UsageError: There is no such engine, or the bundle has no such classifier; the message lists what it has.
    """
    spec = None if engine is None else engine_spec(engine)
    if spec is not None and spec.runs is None:
        return
    try:
        _candidates(bundle, spec, precision, "classifier")
    except EngineError as error:
        raise UsageError(str(error)) from error


def compiled_model(bundle: Bundle, model: Model, threads: int | None = None) -> CompiledModel:
    """Reads a model of a bundle in the form that engines take.

    Raises:
        BundleError: The bundle is damaged.
    """
    return CompiledModel(
        graph=bundle.read(model.file),
        weights=bundle.read(model.weights) if model.weights else b"",
        precision=model.precision,
        input=bundle.input_of(model.role),
        outputs=bundle.outputs(model.role),
        threads=threads,
    )


def infer_all(engine: Engine, images: Image) -> Floats:
    """Runs an engine on many prepared images, in large batches, as an evaluation does.

    Args:
        engine: An open engine.
        images: uint8 [n, h, w, 3], n >= 1.

    Returns:
        float32 [n, outputs].
    """
    return np.concatenate([engine.infer(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)])


def _candidates(bundle: Bundle, spec: EngineSpec | None, precision: str | None, role: Role) -> list[Model]:
    """Returns the models that fit, the preferred one first."""
    models = [model for model in bundle.manifest.models if model.role == role]
    fitting = [
        model
        for model in models
        if (spec is None or model.engine == spec.runs) and precision in (None, model.precision)
    ]
    if not fitting:
        available = ", ".join(f"{model.engine} {model.precision}" for model in models)
        requested = (f" for {spec.name}" if spec else "") + (f" in {precision}" if precision else "")
        raise EngineError(
            f"{bundle.path} has no {ROLE_NAMES[role]}{requested}; it has {available or 'none'}: "
            f"{'choose one of these or export it' if models else 'export it'}"
        )
    return sorted(fitting, key=_preference)  # stable: the bundle's own order stays, see `Manifest.models`


def _preference(model: Model) -> int:
    preference = engine_spec(model.engine).preference
    assert preference is not None  # every engine that models are exported for has one
    return preference


def _check_golden_outputs(bundle: Bundle, model: Model, name: str, engine: Engine) -> None:
    """Runs the golden frames one by one, as the loop does, and compares the outputs with those of the export.

    The engine is closed where they differ, also if nobody waits for that any more.

    Raises:
        ParityError: They differ by more than the model's tolerance.
        BundleError: The engine gives another number of outputs.
    """
    try:
        difference = _golden_difference(bundle, model, engine)
        if not difference <= model.tolerance:
            raise ParityError(
                f"{name} {model.precision} does not give the bundle's golden outputs on this device: logits differ by "
                f"{difference:.3g}, at most {model.tolerance:.3g} is allowed; try --precision fp32, or export it here"
            )
    except BaseException:
        engine.close()
        raise


def _golden_difference(bundle: Bundle, model: Model, engine: Engine) -> float:
    """Returns the largest absolute difference between the engine's outputs and the golden ones; NaN where one is NaN.

    Raises:
        BundleError: The engine gives another number of outputs.
    """
    spec, golden_outputs = bundle.input_of(model.role), bundle.golden_outputs(model).astype(np.float64)
    differences = []
    for frame, expected in zip(bundle.golden_frames(), golden_outputs, strict=True):
        logits = engine.infer(spec.prepare(frame)[None])
        if logits.shape != (1, len(expected)):
            raise BundleError(
                f"{bundle.path}: {model.file} gives {list(logits.shape)} logits, not {[1, len(expected)]}"
            )
        with np.errstate(invalid="ignore"):  # NaN, and infinity minus infinity, count as different
            differences.append(np.abs(logits[0] - expected).max())
    return float(np.max(differences))


def _golden_seconds(bundle: Bundle, model: Model) -> float:
    """Returns the seconds that replaying the golden frames may take."""
    measured = model.seconds[0] if model.seconds else 0.0
    return min(GOLDEN_SECONDS + STALL_FACTOR * measured * bundle.manifest.golden_count, START_SECONDS)
