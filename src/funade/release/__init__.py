"""Releasing: the consistent cut, the gate and the switch."""
