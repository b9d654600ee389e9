"""The body of the constant responses, as long as a prediction for one row."""

from __future__ import annotations

RESPONSE = (
    '{"model":"small","version":"1","id":"5f2d3f6e8a0b4c1d9e7f6a5b4c3d2e1f","predictions":'
    '[{"label":"overweight","probability":0.9812345504760742,"probabilities":'
    '{"overweight":0.9812345504760742,"underweight":0.018765449523925781}}]}'
)
