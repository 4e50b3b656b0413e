"""
What stands between tiers and writer: names and layouts of what Redis holds, the functions that run inside
it, the connections to it, and the rules of clocks, silences and outages that both sides apply.
"""
