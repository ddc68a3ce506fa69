"""The checks. A package of its own: gmqtt's wheel brings one of the same name, found later."""
