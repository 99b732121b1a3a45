"""Decides on the frames of several sources at once with one engine: python several_cameras.py BUNDLE SOURCE...

Each source has a thread of its own; the engine takes them in turn. A source that fails does not end the others, and the
exit code is then 1. `allweather run --config site.yaml` runs several cameras without a program, with outputs for each.
"""

import sys
import threading

import allweather

SAY = threading.Lock()  # one line at a time
failed: list[str] = []


def decide(source: str, perceiver: allweather.Perceiver) -> None:
    """Prints each change of the label of one source."""
    label = ""
    try:
        for decision in allweather.watch(source, perceiver):
            if decision.label != label:
                label = decision.label
                with SAY:
                    print(f"{source}: frame {decision.index}, {label} {decision.confidence:.0%}", flush=True)
    except allweather.AllweatherError as error:
        with SAY:
            print(f"{source}: {error}", file=sys.stderr)
        failed.append(source)


if len(sys.argv) < 3:
    sys.exit("usage: python several_cameras.py BUNDLE SOURCE...")
bundle, *sources = sys.argv[1:]
with allweather.load(bundle) as perceiver:
    threads = [threading.Thread(target=decide, args=(source, perceiver)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
sys.exit(1 if failed else 0)
