"""Hidden checks of the exercises, one module a day; named wrong answers stand beside them."""
