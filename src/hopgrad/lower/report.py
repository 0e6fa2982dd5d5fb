"""What was compiled, to read: loops, LLVM's text, machine code, the order of steps and their memory."""

from __future__ import annotations

from collections.abc import Sequence

from hopgrad.lower.fuse import CallStep, KernelStep
from hopgrad.lower.memory import touched
from hopgrad.lower.program import Program, Steps


def kernels(program: Steps) -> list[str]:
    """The loops of each distinct kernel; of calls of libraries what is called; of loops what their bodies are."""
    found: dict[str, str] = {}
    for step, pair in zip(program.schedule.steps, program.written, strict=True):
        if pair is not None:
            sources = [pair[0]] if step.parts is None else step.parts.kernels
            for source, text in zip(sources, _texts(step), strict=True):
                found.setdefault(source.symbol, text)
    for inner in program.inner:
        found |= {text: text for text in kernels(inner)}
    return list(dict.fromkeys(found.values()))


def _texts(step: KernelStep | CallStep) -> list[str]:
    if isinstance(step, KernelStep):
        return [str(nest) for nest in step.nests]
    return ["\n    ".join([step.native.note, *step.native.lowerings]) if step.native is not None else step.hop.name]


def llvm(program: Program) -> str:
    """The text that each distinct kernel was compiled from."""
    return "\n".join(source.llvm for source in program.sources)


def asm(program: Program) -> str:
    """The machine code of each distinct kernel in the assembler's notation."""
    return "\n".join(source.assembly for source in program.sources)


def plan(program: Steps) -> str:
    """The steps in order, each with the buffers that it reads and writes, and where these are; loops with their own."""
    buffers = program.buffers
    lines = []
    for k, buffer in enumerate(buffers):
        place = buffer.role
        if buffer.role in ("input", "output"):
            place += f" {buffer.number}"
        elif k in program.layout.shared:
            output, offset = program.layout.shared[k]
            place = f"in the memory of output {buffers[output].number}" + (f" at {offset}" if offset else "")
        elif k in program.layout.offsets:
            place = f"at {program.layout.offsets[k]}"
        lines.append(f"slot{k}: {buffer.aval!r}, {place}")
    for k, step in enumerate(program.schedule.steps):
        reads, writes = touched(step)
        inner: Sequence[Steps] = ()
        if isinstance(step, KernelStep):
            what = ", then ".join(
                f"loop over {' × '.join(map(str, nest.shape)) or 'one place'}, {len(nest.values)} values"
                for nest in step.nests
            )
        elif step.native is not None:
            what, inner = step.native.note, step.native.programs
        else:
            what = f"{step.hop.name} by NumPy"
        what += f", in {step.parts.count} parts" if step.parts is not None else ""
        read, written = (", ".join(f"slot{b}" for b in dict.fromkeys(found)) for found in (reads, writes))
        lines.append(f"{k}: {what}: {read or 'nothing'} -> {written or 'nothing'}")
        for one in inner:
            if one.schedule.steps:
                lines += [f"  {line}" for line in plan(one).splitlines()]
    return "\n".join(lines)


def summary(program: Program) -> list[str]:
    """A few lines for `report`."""
    steps = program.schedule.steps
    own = [nest for step in steps if isinstance(step, KernelStep) for nest in step.nests]
    calls = [step for step in steps if isinstance(step, CallStep)]
    native = [step for step in calls if step.native is not None]
    by_numpy = [step.hop.name for step in calls if step.native is None]
    read = written = 0
    for step in steps:
        reads, writes = touched(step)
        read += sum(program.buffers[b].bytes for b in set(reads))
        written += sum(program.buffers[b].bytes for b in set(writes))
    lines = [
        f"{len(own)} loops and {len(native)} calls of libraries, made of {program.kernels} kernels"
        f" ({program.stored} from disk), compiled in {program.seconds * 1e3:.1f} ms",
        f"{program.flops:,} operations; {read:,} bytes read, {written:,} written; {program.layout.size:,} bytes of"
        f" temporary memory (at least {program.layout.live:,} are alive at once)",
    ]
    if by_numpy:
        counts = {name: by_numpy.count(name) for name in dict.fromkeys(by_numpy)}
        listed = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in counts.items())
        lines.append(f"by NumPy, for want of a native form: {listed}")
    return lines
