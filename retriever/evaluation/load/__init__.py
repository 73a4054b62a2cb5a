"""How quickly a system answers, and what that costs: load from outside, as its users make it."""
