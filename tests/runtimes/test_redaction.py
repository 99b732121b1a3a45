"""What may be a password is hidden wherever it stands in the text that names a camera; what is harmless is shown."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.redaction import redacted, redacted_addresses, redacted_arguments

# Each holds at least one secret, all of them written with "hunter".
ADDRESSES = (
    # user information
    "rtsp://user:hunter2@host:554/door",
    "rtsp://hunter2@host/door",
    "RTSP://hunter2@host",
    "rtsp://user:hunter@2/hunter@3@host/door",
    "rtsp://user:hunter 2@host/door",
    "rtsp://user:hunter'2\"hunter@host/door",
    "rtsp://user:hunter%402@host/door",
    "rtsp://user%3Ahunter2%40host/door",
    "rtsp://user%253Ahunter2%2540host/door",
    "rtsp%3A%2F%2Fuser%3Ahunter2%40host%2Fdoor",
    "rtsp://user:hunter#2@host/door",
    "rtsp://user:hunter?2@host/door",
    "rtsp://user:hunter ! 2@host/door",
    "https://host/v?key=a@hunter2",
    "https://user:hunter1@host/v#a@hunter2",
    "host/v?k=a@hunter2/x",
    "rtsp://user:hunter2/host/door",  # the @ is missing
    "rtsp:/user:hunter2@host/door",
    "rtsp:user:hunter2@host/door",
    "rtsp//user:hunter2@host/door",
    "//user:hunter2@host/door",
    "user:hunter2@192.168.1.10/door",
    "hunter2@192.168.1.10:554/door",
    "hunter2@camera.local/door",
    "rtsp\uff1a//user:hunter2\uff20host/door",
    "https://user:hunter2@[2001:db8::1]:443/door",
    "ftp://user:hunter2@host/door.mp4",
    "rtmp://user:hunter2@host/live/door",
    "rtsp://user:hunter2@one/a rtsp://user:hunter3@two/b",
    "rtsp://user:hunter2@one/a,https://two/b?key=hunter3",
    # parameters of the query
    "http://host/v.cgi?user=hunter1&pwd=hunter2&size=4",
    "https://host/v?access_token=hunter2",
    "https://host/v?camera_password=hunter2",
    "https://host/v?my_pwd=hunter2&width=640",
    "https://host/v?psw=hunter2",
    "https://host/v?psk=hunter2",
    "https://host/v?session=hunter2",
    "https://host/v?sid=hunter2",
    "https://host/v?k=hunter2",
    "https://host/v?%70assword=hunter2",
    "https://host/v?password%3Dhunter2",
    "https://host/v?hunter2",
    "https://host/v?hunter2==",
    "https://host/v?width=640&hunter2",
    "https://host/v?width=640;pw=hunter2",
    "https://host/v?width=640,pw=hunter2",
    "https://host/v?width=640%26pw=hunter2",
    "https://host/v?width=640?pw=hunter2",
    "https://host/v?credentials[password]=hunter2",
    "https://host/v?loginuse=hunter1&loginpas=hunter2&p=hunter3&jwt=hunter4",
    "https://host/v?X-Amz-Signature=hunter2&X-Amz-Date=1",
    "https://host/v?url=rtsp://user:hunter2@inner/door",
    "https://host/v?url=rtsp%3A%2F%2Fuser%3Ahunter2%40inner%2Fdoor",
    "https://host?token=hunter2",
    "srt://host:9000?passphrase=hunter2&latency=200&mode=caller",
    "srt://host:9000?streamid=#!::u=hunter1,m=request,h=hunter2",
    "192.168.1.10/v.cgi?user=hunter1&usr_pw=hunter2",
    # fragments and paths
    "https://host/v#token=hunter2",
    "https://host/v#hunter2",
    "rtsp://host/user=hunter1_password=hunter2_channel=1.sdp",
    "rtsp://host/v;session=hunter2/door",
    "https://host/token/hunter2/door",
    "https://host/user:hunter2/door",
    "rtsps://host:7441/aB3hunter2Xy9Qw7Z",
    "rtmp://host/live2/abcd-hunter2-wxyz",
    "/v.cgi?password=hunter2",
    # GStreamer properties
    'rtspsrc user-id=hunter1 user-pw="hunter 2" ! x',
    "rtspsrc user-pw='hunter 2' ! x",
    "rtspsrc user-pw = hunter2 ! x",
    "rtspsrc user-pw= hunter2 ! x",
    "rtspsrc user-pw =hunter2 ! x",
    "rtspsrc user-pw=hunter hunter3 ! x",
    "rtspsrc user-pw=hunter\\ hunter3 ! x",
    'rtspsrc user-pw="hunter ! 2" ! x',
    'rtspsrc user-pw="hunter\\" hunter3" ! x',
    'rtspsrc user-pw="hunter',
    'rtspsrc user-pw="hunter2"hunter3 ! x',
    "rtspsrc location=rtsp://host/a proxy-pw=hunter2 ! x",
    "rtspsrc location=rtsp://me:hunter2@host/a rate=0 ! x",
    "rtspsrc location=rtsp://me:hunter 2@host/a rate=0 ! x",
    'rtspsrc location="rtsp://me:hunter2@host/a?key=hunter3" ! x',
    "uridecodebin uri=rtsp://me:hunter2@host/a ! x",
    "uridecodebin source::user-pw=hunter2 ! x",
    'souphttpsrc extra-headers="h,Authorization=(string)\\"Bearer hunter2\\"" ! x',
    "souphttpsrc cookies={session=hunter2} ! x",
    "srtsrc uri=srt://host:9000 passphrase=hunter2 ! x",
    "rtspsrc location=rtsp://host/a user-id=hunter1 user-pw=hunter2",  # the ! is missing
    "gst-launch-1.0 rtspsrc user-pw=hunter2 ! x",
    "application/x-srtp,key=(buffer)hunter2 ! x",
    'appsink caps="application/x-srtp,key=hunter2" ! x',
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_secret_of_an_address_is_shown(address: str) -> None:
    shown = redacted(address)
    assert "hunter" not in shown
    assert "***" in shown
    assert redacted(shown) == shown


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_secret_of_an_argument_is_shown_by_the_message_that_quotes_it(address: str) -> None:
    message = redacted_arguments(f"Got unexpected extra argument ({address})")
    assert "hunter" not in message
    assert "***" in message


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://user:pw@host:554/door", "rtsp://***@host:554/door"),
        ("rtspsrc location=rtsp://me:pw@host/a rate=0 ! x", "rtspsrc location=rtsp://***@host/a rate=0 ! x"),
        ('rtspsrc user-id=me user-pw="my pw" latency=0 ! x', "rtspsrc user-id=*** user-pw=*** latency=0 ! x"),
        ("http://host/v.cgi?user=me&pwd=pw&size=4", "http://host/v.cgi?user=***&pwd=***&size=4"),
        ("rtsp://a:b@one/x rtsp://c:d@two/y", "rtsp://***@one/x rtsp://***@two/y"),
        ("srt://host:9000?passphrase=pw&latency=200", "srt://host:9000?passphrase=***&latency=200"),
        ("https://host/v?a=1#b", "https://host/v?a=***#***"),
        ("user:pw@192.168.1.10/door", "***@192.168.1.10/door"),
    ],
)
def test_what_is_harmless_around_a_secret_is_shown(text: str, clean: str) -> None:
    assert redacted(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "/dev/video0",
        "rtsp://host/door",
        "rtsp://[2001:db8:a:b::1]:554/Streaming/Channels/101",
        "rtsp://host/h264Preview_01_main",
        "rtsp://host/cam/realmonitor?channel=1&subtype=0",
        "rtsp://host/my%20door/media.amp?resolution=640x480&fps=25",
        "udp://239.0.0.1:1234",
        "/videos/me@home.mp4",
        "/videos/12:30@home.mp4",
        "../videos/a=b?.mp4",
        "me@home.mp4",
        "videos/run lr=0.1/door.mp4",
        "v4l2src device=/dev/video0 ! appsink",
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,framerate=30/1 ! nvvidconv ! appsink",
        "videotestsrc num-buffers=10 ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1",
        "filesrc location=/videos/a.mp4 ! decodebin ! appsink",
    ],
)
def test_a_source_without_secrets_is_shown_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_the_other_words_of_a_message_stay() -> None:
    message = "no video from rtsp://user:pw@host/door?key=pw; check it, or use a rtsps:// URL, or http://HOST:PORT."
    assert redacted_addresses(message) == (
        "no video from rtsp://***@host/door?key=***; check it, or use a rtsps:// URL, or http://HOST:PORT."
    )


@given(st.text(st.characters(exclude_characters=" \t\n\r\"'?#", exclude_categories=["Z", "C"]), min_size=1))
def test_no_password_survives(password: str) -> None:
    assert redacted(f"rtsp://user:{password}@camera.local/door") == "rtsp://***@camera.local/door"


@pytest.mark.parametrize("part", ["@", ":", "%25", "pass", "bin", " ", " ! ", "=", '"', "\\", "a://", "?", ")", "/"])
def test_a_long_text_takes_time_in_proportion_to_its_length(part: str) -> None:
    text = part * (30_000 // len(part))
    started = time.process_time()
    for function in (redacted, redacted_addresses, redacted_arguments):
        function(text)
        function(f"rtsp://{text}")
    assert time.process_time() - started < 2
