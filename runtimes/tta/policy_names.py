"""The names of policies, such as "top:2+flip@0.95": which there are, and the policy that each stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.tta.policy import FLIP, Policy, flipped
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS

CROPS = tuple(name for name in CLASSIC_VIEWS if name.startswith("crop"))
FORMS = (
    "center", "hflip", "5crop", "10crop", "all", "random:K", "set:VIEW,VIEW,...", "set:VIEW,VIEW,...:N",
    "gps:K", "learned", "top:K", "top:K+flip", "oracle:K", "POLICY+large", "POLICY+logits", "POLICY@SHARE",
)  # fmt: skip
LOGITS = "+logits"  # ends the name of a policy that averages logits, in front of the @ of an early exit
ON_LARGE = "+large"  # ends the name of a policy that a large classifier takes part in, in front of the others
TUNED = ("gps", "learned")  # found by `allweather tune-policy`; unlike the other names, these do not define the views


def parse_policy(text: str, tuned: Sequence[Policy] = (), predictor_views: Sequence[str] = tuple(VIEWS)) -> Policy:
    """Returns the policy of a given name.

    Args:
        text: One of `FORMS`, with numbers and names filled in, such as "top:2+flip".
        tuned: Policies that a checkpoint or bundle holds; they are found by their own names.
        predictor_views: Names of the views whose losses the loss predictor predicts, in the order of its outputs.
            "top:K" and "oracle:K" choose among these.

    Raises:
        UsageError: There is no such policy, its numbers are out of range, or it has to be tuned first.
    """
    if not isinstance(text, str):
        raise UsageError(f"a policy is a text such as 'top:1'; got {text!r}")
    for each in tuned:
        if each.name == text:
            return each
    base, exits_early, share = text.partition("@")
    if exits_early:
        base_policy = parse_policy(base, tuned, predictor_views)
        threshold = _parse_share(text, share)
        return replace(base_policy, name=text, early_exit_threshold=threshold, confidence_model=None)
    if text.endswith(LOGITS) and not (base := text.removesuffix(LOGITS)).endswith(LOGITS):
        base_policy = parse_policy(base, tuned, predictor_views)
        return replace(base_policy, name=text, averages="logits", confidence_model=None)
    if text.endswith(ON_LARGE) and not (base := text.removesuffix(ON_LARGE)).endswith(ON_LARGE):
        return replace(parse_policy(base, tuned, predictor_views), name=text, large=True, confidence_model=None)
    kind, _, rest = text.partition(":")
    fixed = {
        "center": ("identity",),
        "hflip": ("identity", FLIP),
        "5crop": CROPS,
        "10crop": (*CROPS, *(flipped(name) for name in CROPS)),
        "all": tuple(VIEWS),
    }
    if text in fixed:
        return Policy(text, "all", fixed[text], len(fixed[text]))
    if kind == "random":
        return Policy(text, "random", tuple(VIEWS), _parse_count(text, rest))
    if kind == "oracle":
        return Policy(text, "oracle", tuple(predictor_views), _parse_count(text, rest))
    if kind == "top":
        count = _parse_count(text, rest.removesuffix("+flip"))
        return Policy(text, "top", tuple(predictor_views), count, hflip=rest.endswith("+flip"))
    if kind == "set":
        listed, _, count_text = rest.partition(":")
        if not listed:
            raise UsageError(f"policy {text!r} names no view; write set:VIEW,VIEW,..., such as set:identity,{FLIP}")
        names = tuple(listed.split(","))
        if count_text:
            return Policy(text, "draw", names, _parse_count(text, count_text))
        return Policy(text, "all", names, len(names))
    if kind in TUNED:
        existing = f"only {', '.join(each.name for each in tuned)}" if tuned else "no policy"
        raise UsageError(
            f"policy {text} is found by tuning, and {existing} was tuned; run allweather tune-policy --policy {text}"
        )
    raise unknown_name("policy", text, FORMS)


def is_found_by_tuning(text: str) -> bool:
    """Returns whether a policy's name is made of gps:K or learned: tuning finds the views that these stand for."""
    return text.partition("@")[0].removesuffix(LOGITS).removesuffix(ON_LARGE).partition(":")[0] in TUNED


def _parse_count(text: str, number: str) -> int:
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        kind = text.split(":")[0]
        example = f"{kind}:2 or {kind}:2+flip" if kind == "top" else f"{kind}:2"
        raise UsageError(f"policy {text!r} needs a number of views, such as {example}; got {number!r}")
    return int(number)


def _parse_share(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        base, (share, plus, rest) = text.partition("@")[0], number.partition("+")
        if plus and share.replace(".", "", 1).isdecimal() and set(rest.split("+")) <= {"flip", "large", "logits"}:
            meant = f"{base}+{rest}@{share}"
            raise UsageError(f"policy {text!r}: the probability of its early exit comes last; write {meant}") from None
        raise UsageError(f"policy {text!r} needs the probability of its early exit, such as {base}@0.95") from None
