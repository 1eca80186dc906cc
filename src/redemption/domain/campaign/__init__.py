"""A campaign's definition: what it promises, to whom, when; and the checks of each part of it."""
