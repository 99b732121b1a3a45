"""Bad input ends every command with one line that says what was expected, what came, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, one_line

from allweather.trainers.data import registry

TRAIN = "train --data signs --arch resnet20 --out {tmp}/x.safetensors"
RUN = "run {bundle} --source {folder}/test/red"
BAD = [  # command, exit code, words of the message
    ("train --data mnist --arch resnet20 --out {tmp}/x.safetensors", 2, "data set 'mnist' ... signs"),
    ("train --data folder:{tmp}/none --arch resnet20 --out {tmp}/x.safetensors", 1, "no folder {tmp}/none; a data set"),
    ("train --data signs --arch resnet21 --out {tmp}/x.safetensors", 2, "resnet21 ... resnet20"),
    ("train --data signs --arch resnet20 --out {tmp}/x.pt", 2, ".safetensors file ... x.pt"),
    ("train --data signs --arch resnet20 --out {tmp}/text.mp4/x.safetensors", 1, "a part of the path is a file"),
    ("train --data signs --arch resnet20", 2, "Missing option '--out'"),
    (f"{TRAIN} --epochs 0", 2, "epochs ... at least 1; got 0"),
    (f"{TRAIN} --method dml", 2, "dml trains two ... networks"),
    (f"{TRAIN} --arch vgg16", 2, "plain trains one network"),
    (f"{TRAIN} --method adversarial", 2, "adversarial ... multi-ait"),
    (f"{TRAIN} --variants rx", 2, "variant ... rx"),
    (f"{TRAIN} --loss-weight 2", 2, "plain has no AiLoss"),
    (f"{TRAIN} --fraction 0", 2, "fraction ... above 0 and at most 1; got 0"),
    (f"{TRAIN} --label-noise 2", 2, "labels ... 0 to 1; got 2"),
    (f"{TRAIN} --devices 999", 2, "--devices ... 1 to"),
    (f"{TRAIN} --seed -1", 2, "should be greater than or equal to 0"),
    ("evaluate {tmp}/none.safetensors --data signs", 1, "no checkpoint at {tmp}/none.safetensors"),
    ("evaluate {tmp}/none.aw --data signs", 1, "no bundle at {tmp}/none.aw"),
    ("evaluate {tmp} --data signs", 1, "manifest.json is missing"),
    ("evaluate {plain} --data signs", 2, "3 classes (blue, green, red, ...) ... signs"),
    ("evaluate {plain} --data signs --out /proc/report", 1, "cannot write /proc/report"),
    ("export {tmp}/none.safetensors --out {tmp}/x.aw", 1, "no checkpoint at"),
    ("export {plain} --out {tmp}/x.aw", 1, "add --data"),
    ("export {plain} --data folder:{folder} --engine openvin --out {tmp}/x.aw", 2, "openvin ... openvino"),
    ("export {plain} --data folder:{folder} --precision int4 --out {tmp}/x.aw", 2, "int4 ... int8"),
    ("export {plain} --data folder:{folder} --out /proc/x.aw", 1, "/proc/x.aw"),
    ("export {plain} --data folder:{folder} --out {tmp}/text.mp4/x.aw", 1, "a part of the path is a file"),
    ("export {plain} --data folder:{folder} --out {taken}", 1, "holds no manifest.json"),
    ("tune-policy {bundle} --data folder:{folder} --policy center --out {bundle}/x.aw", 2, "would lie in {bundle}"),
    ("bench {bundle} --threads 100000", 2, "--threads is at most the number of cores"),
    ("run {bundle} --source rtsp:/host/x", 1, "a URL has two slashes before its host"),
    ("run {bundle} --source http://", 1, "it names no host"),
    ("run {tmp}/none.aw --source 0", 1, "no bundle at"),
    ("run {plain} --source 0", 1, "is a checkpoint ... bundle"),
    ("run {bundle} --source {tmp}/none.mp4", 1, "none.mp4"),
    ("run {bundle} --source {tmp}", 1, "{tmp}"),
    ("run {bundle} --source {text}", 1, "text.mp4"),
    ("run {bundle} --source {text} --source {text} --show", 2, "--show ... one source ... --serve"),
    ("run {bundle} --source {text} --video {text}", 2, "text.mp4 is a source itself"),
    ("run {bundle} --source {log}.1 --jsonl {log} --jsonl-mb 1", 2, "log.1 is a source itself"),
    ("run {bundle} --source {tmp}/a-0.mp4 --source {text} --video {tmp}/a.mp4", 2, "a-0.mp4 is a source itself"),
    (f"{RUN} --engine tensorflow", 2, "tensorflow ... openvino"),
    (f"{RUN} --serve x", 2, "--serve is [HOST:]PORT ... 65535 ... got x"),
    (f"{RUN} --serve {'9' * 5000}", 2, "--serve is [HOST:]PORT ... 65535"),  # more digits than Python reads
    (f"run {{bundle}} --source {'9' * 5000}", 1, "File name too long; name another file"),
    (f"bench {{bundle}} --max-views {'9' * 5000}", 2, "--max-views ... 1 to 12"),
    (f"{RUN} --serve 0.0.0.0:0", 2, "0.0.0.0 ... token"),
    (f"{RUN} --serve me:hunter2@host:0", 2, "--serve is [HOST:]PORT, and HOST a name or address ... ***@host:0"),
    (f"{RUN} --serve http://127.0.0.1:0", 2, "--serve is [HOST:]PORT, and HOST a name or address"),
    (f"{RUN} --threads {10**20}", 2, "threads ... from 1 to 2147483647"),
    (f"{RUN} --jsonl {{tmp}}/x.mp4 --video {{tmp}}/x.mp4", 2, "--jsonl and --video both write {tmp}/x.mp4"),
    (f"{RUN} --jsonl {{tmp}}/{'x' * 300}", 1, "cannot write {tmp}/x ... too long"),
    ("run http://me:hunter2@host/x.aw --source 0", 1, "no bundle at http://***@host/x.aw"),
    ("lint http://me:hunter2@host/x.onnx", 1, "no file http://***@host/x.onnx"),
    (f"{RUN} --threads 0", 2, "threads ... 1; got 0"),
    (f"{RUN} --jsonl {{tmp}}/x.jsonl --jsonl-mb 0", 2, "--jsonl-mb ... at least 0.01"),
    (f"{RUN} --jsonl {{tmp}}/x.jsonl --jsonl-mb 1e-9", 2, "--jsonl-mb ... at least 0.01"),
    (f"{RUN} --jsonl-mb 5", 2, "--jsonl-mb ... --jsonl; name one"),
    (f"{RUN} --jsonl-fsync", 2, "--jsonl-fsync ... --jsonl; name one"),
    (f"{RUN} --region 0,0,900,900", 2, "40 x 32 pixels"),
    (f"{RUN} --region 1,2,3", 2, "--region is [NAME=]x,y,width,height in pixels; got '1,2,3'"),
    (f"{RUN} --region a=0,0,9,9 --region a=9,9,9,9", 2, "--region NAME=x,y,width,height; two are called 'a'"),
    (f"{RUN} --budget-ms 0", 2, "budget ... above 0 ... got 0"),
    (f"{RUN} --limit 0", 2, "limit"),
    (f"{RUN} --video {{tmp}}/x.gif", 2, ".mp4"),
    (f"{RUN} --jsonl {{tmp}}/text.mp4/x.jsonl", 1, "cannot write"),
    (f"{RUN} --mqtt http://me:hunter2@host", 2, "an MQTT broker is mqtt:// ... got http://***@host"),
    (f"{RUN} --mqtt mqtt://host/a/#", 2, "MQTT broker is mqtt://"),
    (f"{RUN} --mqtt mqtt://host/a/+/b", 2, "no + or # ... got 'a/+/b'"),
    (
        f"{RUN} --mqtt env:NONE_OF_THIS_NAME",
        2,
        "variable NONE_OF_THIS_NAME of the address of the broker ... is not set",
    ),
    (f"{RUN} --webhook ftp://me:hunter2@host/x", 2, "a webhook is http:// or https:// ... got ftp://***@host/x"),
    (f"{RUN} --table {{tmp}}/x.xlsx", 2, "ends in .csv or .parquet; got {tmp}/x.xlsx"),
    (f"{RUN} --table {{tmp}}/x.csv --jsonl {{tmp}}/x.csv", 2, "--jsonl and --table both write {tmp}/x.csv"),
    (f"{RUN} --hard-frames {{folder}}/test/red", 2, "test/red is a source itself"),
    (f"{RUN} --hard-frames {{tmp}}/text.mp4/hard", 1, "cannot write {tmp}/text.mp4"),
    ("bench {bundle} --max-views 0", 2, "--max-views ... 1 to 12 ... '0'"),
    ("bench {bundle} --frames 0", 2, "--frames ... at least 1; got 0"),
    ("bench {bundle} --source {tmp}", 1, "{tmp}"),
    ("bench {bundle} --source 0", 2, "video file or a folder ... 0 is a camera"),
    ("bench {bundle} --source rtsp://me:hunter2@host/x", 2, "rtsp://***@host/x is a camera or stream"),
    ("bench {bundle} --out {text}", 2, "--out is a folder"),
    ("bench {tmp}/none.aw", 1, "no bundle at"),
    ("demo --frames 0 --out {tmp}/demo", 2, "frames ... at least 1"),
]


@pytest.mark.parametrize(("line", "code", "words"), BAD, ids=[line[:80] for line, _, _ in BAD])
@pytest.mark.slow
def test_bad_input_gets_one_clear_line(
    line: str, code: int, words: str, tmp_path: Path, folder: Path, sample_bundle: Path, plain: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "holiday.jpg").write_bytes(b"precious")
    for name in ("text.mp4", "a-0.mp4", "log.1"):
        (tmp_path / name).write_text("no video")
    before = sorted(tmp_path.rglob("*"))
    paths = {
        "tmp": tmp_path, "folder": folder, "bundle": sample_bundle, "taken": taken, "plain": plain,
        "text": tmp_path / "text.mp4", "log": tmp_path / "log",
    }  # fmt: skip
    result = invoke(*line.format(**paths).split())
    message = one_line(result)
    assert result.exit_code == code, message
    for part in words.format(**paths).split(" ... "):
        assert part in message
    assert "Traceback" not in message
    assert "hunter2" not in message
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "train --arch resnet20 --fraction 0 --out {out}",
        "train --arch resnet20 --label-noise 2 --out {out}",
        "train --arch resnet20 --devices 999 --out {out}",
        "learn-augmentation --arch resnet20 --fraction 0 --out {out}",
        "finetune {plain} --method fma --strength-points 0 --out {out}",
        "finetune {plain} --method at --gamma search --out {out}",
        "finetune {plain} --method fma --out {out}",  # of other classes, as are the following
        "train-predictor {plain} --out {out}",
        "tune-policy {plain} --out {out}",
        "evaluate {plain}",
        "evaluate {plain} --corrupted generate --shifted --policy hflip",
    ],
)
def test_bad_input_is_told_before_data_are_made(
    options: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("the images of signs were drawn")

    monkeypatch.setattr(registry, "_draw_signs", fail)
    words = options.format(plain=plain, out=tmp_path / "x.safetensors").split()
    result = invoke(*words, "--data", "signs")
    assert result.exit_code == 2, result.exception
