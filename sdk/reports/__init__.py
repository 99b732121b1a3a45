"""Reports: writes pages, tables and plots of evaluations, benchmarks and learned augmentations.

Each public object is imported when it is first used, because the report of a benchmark is also written on devices
without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from allweather.reports.augmented import write_augmented_report as write_augmented_report
    from allweather.reports.benchmark import write_benchmark_report as write_benchmark_report
    from allweather.reports.clean import write_clean_report as write_clean_report
    from allweather.reports.corrupted import write_corrupted_report as write_corrupted_report
    from allweather.reports.html import Section as Section
    from allweather.reports.html import page as page
    from allweather.reports.html import write_files as write_files
    from allweather.reports.learned_augmentation import write_augmentation_report as write_augmentation_report
    from allweather.reports.policies import write_policy_report as write_policy_report
    from allweather.reports.shifted import write_shifted_report as write_shifted_report

_MODULES = {
    "Section": "html",
    "page": "html",
    "write_augmentation_report": "learned_augmentation",
    "write_augmented_report": "augmented",
    "write_benchmark_report": "benchmark",
    "write_clean_report": "clean",
    "write_corrupted_report": "corrupted",
    "write_files": "html",
    "write_policy_report": "policies",
    "write_shifted_report": "shifted",
}

__all__ = [*sorted(_MODULES)]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
