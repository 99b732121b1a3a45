"""Publishes decisions to an MQTT broker and shows them, as a dashboard would: python mqtt.py BUNDLE SOURCE ADDRESS.

ADDRESS is mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS; env:NAME or file:PATH takes it, with a password, from an
environment variable or a file. Home Assistant shows the camera by itself. It needs `pip install 'allweather[mqtt]'`.
"""

import sys

import allweather

if len(sys.argv) != 4:
    sys.exit("usage: python mqtt.py BUNDLE SOURCE ADDRESS")
bundle, source, address = sys.argv[1:4]
sink = allweather.MqttSink(address, source="gate", topic="site/CAMERA", qos=1)
with allweather.load(bundle, budget_ms=33) as perceiver:
    for decision in allweather.watch(source, perceiver, sinks=[sink]):  # published to site/gate/decision
        print(decision.label, f"{decision.confidence:.0%}", "sent" if sink.connected else "waits for the broker")
