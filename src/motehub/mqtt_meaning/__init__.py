"""What MQTT messages mean to the hub: topics and payloads to readings, presence and answers.

No input or output, no clock: the transports call it with the messages of a read.
"""
