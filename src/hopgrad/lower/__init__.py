"""From graphs to native code: simplify, fuse hops into loop nests, plan the memory, compile, run.

The only room that imports llvmlite. Everything native has one form, a *step*:

    i32 step(ptr slots, ptr params)

``slots`` are addresses of values: of arguments, results, constants, and of buffers in the call's block of memory. A
value without axes has a slot, too, with its number in it. ``params`` are 64-bit words that belong to the step: which
slots it uses, sizes, strides, captured numbers (floats by their bits). So a step's code depends on its structure alone,
and is shared by all calls, sizes and functions in which the same structure occurs. A step returns 0, or another number
if the program is not to go on: a guard does not hold.

A *program* is an array of pairs (step, params) that ends with a null pointer. `machine` compiles steps, `cache` keeps
them on disk, `program` lays out memory and runs programs, `entry` makes CPython functions that run one without any
Python in between.
"""
