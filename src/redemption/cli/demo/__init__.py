"""The demo, a flash sale in the terminal; and a shop in which every outcome can be had."""
