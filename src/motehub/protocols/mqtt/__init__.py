"""MQTT 5.0 and 3.1.1 without input or output: packets, topics, the state of one connection.

A clause in brackets, such as ``[MQTT-3.3.1-4]``, is a numbered statement of the OASIS standard
MQTT 5.0 (7 March 2019); ``[3.1.1: MQTT-3.1.2-22]`` is one of MQTT 3.1.1. ``§`` is a section.
"""
