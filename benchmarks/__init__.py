"""What gatewaycore costs, measured beside the budgets of its design: ``python -m benchmarks``.

Plain scripts. Everything is measured as a ratio, in one run, on one machine, by medians of interleaved repetitions, so that whatever else
the machine does disturbs all sides alike. No test asserts a time.
"""
