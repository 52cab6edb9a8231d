"""Results beside one another: groups of runs, paired differences, and the gate to champion."""
