"""The scene of the example clip: a steam train in a wide country, drawn from noise and shapes."""
