"""The native half of entry points: one function in LLVM's text form that reads descriptors (`hopgrad.lower.entry`).

A descriptor is a block of 64-bit words. It says which arguments fit, where their addresses go, which program to run,
and what to build of its results; so a new signature needs no new code. Offsets that belong to CPython's and NumPy's
structures are placeholders, put in after the Python side has found them in this process (`entry_native`).

The first words of a descriptor are named by `Header`. After them come instructions for matching, and
further on those for making arrays and for building the result. An instruction begins with its number and its length in
words. Instructions for matching are ``[fetch, length, a, b, check, type, ...]``: fetch an object (of argument a, of
item b of the container a, ...), then check it. Every container and array that is met is held until the call ends, in
order, and is known to later instructions by its place in that order.

A call's own block of memory: the next free block, the block's address as allocated, the slots, the numbers' cells (16
bytes each), objects held, arrays made, a stack to build the result on, and from a multiple of 64 on the program's
buffers. Blocks that no call uses are kept in a list; taking one and putting it back happens under the GIL.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from string import Template

from hopgrad.lower.machine import Effort, Source


class Header(enum.IntEnum):
    """The first words of a descriptor."""

    COUNT = 0
    """Number of positional arguments."""
    FREE = 1
    """Blocks that no call uses."""
    SIZE = 2
    """Bytes in a block, 64 more than it needs."""
    SLOTS = 3
    """How many slots to fill when a block is made."""
    FILL = 4
    """Where, in words of the descriptor, the slots' first values are: pairs (1 if relative to the block, value)."""
    PROGRAM = 5
    UNLOCKED = 6
    """Whether to release the GIL while the program runs."""
    HELD = 7
    """Where objects held are, in bytes of the block; the same for the next two."""
    ARRAYS = 8
    STACK = 9
    OUTPUTS = 10
    """How many arrays to make."""
    MAKE = 11
    """Where the instructions for making arrays are, in words of the descriptor; the same for the next."""
    BUILD = 12
    NEW_ARRAY = 13
    NEW_SCALAR = 14
    ARRAY_TYPE = 15


SLOTS = 16
"""Where a block's slots begin, in bytes."""


class Fetch(enum.IntEnum):
    """Where an object to match comes from."""

    END = 0
    ARGUMENT = 1
    TUPLE = 2
    LIST = 3
    KEY = 4
    READ = 5
    """Item b of the dict at address a."""
    FIELD = 6
    """The pointer at address a."""


class Check(enum.IntEnum):
    """What an object must be; all but the first ask for an exact type first."""

    SAME = 0
    EQUAL = 1
    BITS = 2
    NUMBER = 3
    ITEMS = 4
    ARRAY = 5
    OBJECT = 6
    """Its attributes are held in its place."""


class Build(enum.IntEnum):
    """Instructions that build the result on a stack."""

    END = 0
    ARRAY = 1
    CONSTANT = 2
    FLOAT = 3
    COMPLEX = 4
    INT = 5
    BOOL = 6
    SCALAR = 7
    TUPLE = 8
    LIST = 9
    DICT = 10
    CALL = 11


def call_source(offsets: Mapping[str, int]) -> Source:
    """The entry function, for structures with these offsets."""
    words = {f"HEADER_{word.name}": 8 * word for word in Header}
    numbers = {f"{kind.__name__.upper()}_{it.name}": int(it) for kind in (Fetch, Check, Build) for it in kind}
    text = Template(_CALL).substitute(offsets, CODE=len(Header), **words, **numbers)
    return Source(text, effort=Effort.NONE)  # the first call of all waits for it: 7 ms instead of 30, for 10 ns a call


def release_source(offsets: Mapping[str, int]) -> Source:
    """The destructor of the capsule that owns a descriptor: it gives back the descriptor and its free blocks."""
    return Source(Template(_RELEASE).substitute(offsets), effort=Effort.NONE)


_RELEASE = """
declare void @PyMem_RawFree(ptr)

define void @NAME(ptr %capsule) {
start:
  %words_at = getelementptr i8, ptr %capsule, i64 $CAPSULE
  %words = load ptr, ptr %words_at
  %free_at = getelementptr ptr, ptr %words, i64 1
  %first = load ptr, ptr %free_at
  br label %next
next:
  %block = phi ptr [ %first, %start ], [ %following, %free ]
  %none = icmp eq ptr %block, null
  br i1 %none, label %end, label %free
free:
  %following = load ptr, ptr %block
  %raw_at = getelementptr ptr, ptr %block, i64 1
  %raw = load ptr, ptr %raw_at
  call void @PyMem_RawFree(ptr %raw)
  br label %next
end:
  call void @PyMem_RawFree(ptr %words)
  ret void
}
"""

_CALL = """
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyComplex_FromDoubles(double, double)
declare ptr @PyDict_Copy(ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare void @PyErr_Clear()
declare ptr @PyErr_Occurred()
declare void @PyErr_SetNone(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyMem_RawMalloc(i64)
declare ptr @PyObject_GenericGetDict(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare void @Py_DecRef(ptr)
declare void @Py_IncRef(ptr)
@PyExc_ReferenceError = external global ptr

; The callable's vectorcall: its entries in turn, then what it calls when none fits.
define ptr @NAME(ptr %self, ptr %arguments, i64 %flagged, ptr %names) {
start:
  %entries_at = getelementptr i8, ptr %self, i64 $ENTRIES
  %entries = load ptr, ptr %entries_at
  %none = icmp eq ptr %entries, null
  %named = icmp ne ptr %names, null
  %other = or i1 %none, %named
  br i1 %other, label %slow, label %hold
hold:
  call void @Py_IncRef(ptr %entries)
  %count = and i64 %flagged, 9223372036854775807
  %size_at = getelementptr i8, ptr %entries, i64 16
  %size = load i64, ptr %size_at
  %items = getelementptr i8, ptr %entries, i64 $TUPLE_ITEMS
  br label %next
next:
  %k = phi i64 [ 0, %hold ], [ %after, %missed ]
  %more = icmp slt i64 %k, %size
  br i1 %more, label %try, label %drop
try:
  %entry_at = getelementptr ptr, ptr %items, i64 %k
  %entry = load ptr, ptr %entry_at
  %capsule_at = getelementptr i8, ptr %entry, i64 $TUPLE_ITEMS
  %capsule = load ptr, ptr %capsule_at
  %words_at = getelementptr i8, ptr %capsule, i64 $CAPSULE
  %words = load ptr, ptr %words_at
  %result = call ptr @NAME_attempt(ptr %words, ptr %arguments, i64 %count)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %ask, label %done
ask:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %done, label %missed
missed:
  %after = add i64 %k, 1
  br label %next
done:
  call void @Py_DecRef(ptr %entries)
  ret ptr %result
drop:
  call void @Py_DecRef(ptr %entries)
  br label %slow
slow:
  %fallback_at = getelementptr i8, ptr %self, i64 $FALLBACK
  %fallback = load ptr, ptr %fallback_at
  %cleared = icmp eq ptr %fallback, null
  br i1 %cleared, label %gone, label %call
call:
  call void @Py_IncRef(ptr %fallback)
  %answer = call ptr @PyObject_Vectorcall(ptr %fallback, ptr %arguments, i64 %flagged, ptr %names)
  call void @Py_DecRef(ptr %fallback)
  ret ptr %answer
gone:
  %kind = load ptr, ptr @PyExc_ReferenceError
  call void @PyErr_SetNone(ptr %kind)
  ret ptr null
}

; One entry: its result, or null; null without an exception if the call does not fit.
define private ptr @NAME_attempt(ptr %words, ptr %arguments, i64 %count) {
start:
  %count_at = getelementptr i8, ptr %words, i64 $HEADER_COUNT
  %wanted = load i64, ptr %count_at
  %fits = icmp eq i64 %wanted, %count
  br i1 %fits, label %take, label %never
never:
  ret ptr null
take:
  %block = call ptr @NAME_take(ptr %words)
  %empty = icmp eq ptr %block, null
  br i1 %empty, label %never, label %match
match:
  %held_at = getelementptr i8, ptr %words, i64 $HEADER_HELD
  %held_offset = load i64, ptr %held_at
  %held = getelementptr i8, ptr %block, i64 %held_offset
  %matched = call i64 @NAME_match(ptr %words, ptr %block, ptr %held, ptr %arguments)
  %different = icmp slt i64 %matched, 0
  br i1 %different, label %refuse, label %perform
refuse:
  %few = xor i64 %matched, -1
  br label %release
perform:
  %made = call ptr @NAME_perform(ptr %words, ptr %block)
  br label %release
release:
  %result = phi ptr [ null, %refuse ], [ %made, %perform ]
  %total = phi i64 [ %few, %refuse ], [ %matched, %perform ]
  br label %next
next:
  %k = phi i64 [ %total, %release ], [ %left, %drop ]
  %more = icmp sgt i64 %k, 0
  br i1 %more, label %drop, label %end
drop:
  %left = sub i64 %k, 1
  %object_at = getelementptr ptr, ptr %held, i64 %left
  %object = load ptr, ptr %object_at
  call void @Py_DecRef(ptr %object)
  br label %next
end:
  %free_at = getelementptr i8, ptr %words, i64 $HEADER_FREE
  %first = load ptr, ptr %free_at
  store ptr %first, ptr %block
  store ptr %block, ptr %free_at
  ret ptr %result
}

; A block for a call: one that is free, or a new one with its slots filled; null if there is no memory.
define private ptr @NAME_take(ptr %words) {
start:
  %free_at = getelementptr i8, ptr %words, i64 $HEADER_FREE
  %first = load ptr, ptr %free_at
  %none = icmp eq ptr %first, null
  br i1 %none, label %allocate, label %reuse
reuse:
  %second = load ptr, ptr %first
  store ptr %second, ptr %free_at
  ret ptr %first
allocate:
  %size_at = getelementptr i8, ptr %words, i64 $HEADER_SIZE
  %size = load i64, ptr %size_at
  %raw = call ptr @PyMem_RawMalloc(i64 %size)
  %failed = icmp eq ptr %raw, null
  br i1 %failed, label %never, label %align
never:
  ret ptr null
align:
  %address = ptrtoint ptr %raw to i64
  %above = add i64 %address, 63
  %aligned = and i64 %above, -64
  %block = inttoptr i64 %aligned to ptr
  %raw_at = getelementptr ptr, ptr %block, i64 1
  store ptr %raw, ptr %raw_at
  %slots = getelementptr ptr, ptr %block, i64 2
  %total_at = getelementptr i8, ptr %words, i64 $HEADER_SLOTS
  %total = load i64, ptr %total_at
  %fill_at = getelementptr i8, ptr %words, i64 $HEADER_FILL
  %fill = load i64, ptr %fill_at
  %pairs = getelementptr i64, ptr %words, i64 %fill
  br label %next
next:
  %k = phi i64 [ 0, %align ], [ %after, %slot ]
  %more = icmp slt i64 %k, %total
  br i1 %more, label %slot, label %end
slot:
  %pair = getelementptr [2 x i64], ptr %pairs, i64 %k
  %relative = load i64, ptr %pair
  %value_at = getelementptr i64, ptr %pair, i64 1
  %value = load i64, ptr %value_at
  %base = mul i64 %relative, %aligned
  %sum = add i64 %base, %value
  %slot_at = getelementptr i64, ptr %slots, i64 %k
  store i64 %sum, ptr %slot_at
  %after = add i64 %k, 1
  br label %next
end:
  ret ptr %block
}

; Match all that is asked for: how many objects are held, or -1 minus that if something does not fit.
define private i64 @NAME_match(ptr %words, ptr %block, ptr %held, ptr %arguments) {
start:
  %code = getelementptr i64, ptr %words, i64 $CODE
  br label %next
next:
  %at = phi ptr [ %code, %start ], [ %following, %advance ]
  %n = phi i64 [ 0, %start ], [ %count, %advance ]
  %fetch = load i64, ptr %at
  %length_at = getelementptr i64, ptr %at, i64 1
  %length = load i64, ptr %length_at
  %a_at = getelementptr i64, ptr %at, i64 2
  %a = load i64, ptr %a_at
  %b_at = getelementptr i64, ptr %at, i64 3
  %b = load i64, ptr %b_at
  %check_at = getelementptr i64, ptr %at, i64 4
  %check = load i64, ptr %check_at
  %type_at = getelementptr i64, ptr %at, i64 5
  %type = load ptr, ptr %type_at
  %v_at = getelementptr i64, ptr %at, i64 6
  %v = load i64, ptr %v_at
  switch i64 %fetch, label %matched [
    i64 $FETCH_ARGUMENT, label %argument
    i64 $FETCH_TUPLE, label %tuple
    i64 $FETCH_LIST, label %list
    i64 $FETCH_KEY, label %key
    i64 $FETCH_READ, label %read
    i64 $FETCH_FIELD, label %field
  ]
matched:
  ret i64 %n

argument:
  %argument_at = getelementptr ptr, ptr %arguments, i64 %a
  %given = load ptr, ptr %argument_at
  br label %fetched
tuple:
  %tuple_at = getelementptr ptr, ptr %held, i64 %a
  %tuple_object = load ptr, ptr %tuple_at
  %tuple_items = getelementptr i8, ptr %tuple_object, i64 $TUPLE_ITEMS
  %tuple_item_at = getelementptr ptr, ptr %tuple_items, i64 %b
  %tuple_item = load ptr, ptr %tuple_item_at
  br label %fetched
list:
  %list_at = getelementptr ptr, ptr %held, i64 %a
  %list_object = load ptr, ptr %list_at
  %list_size_at = getelementptr i8, ptr %list_object, i64 16
  %list_size = load i64, ptr %list_size_at
  %within = icmp ult i64 %b, %list_size
  br i1 %within, label %list_read, label %differs
list_read:
  %list_items_at = getelementptr i8, ptr %list_object, i64 $LIST_ITEMS
  %list_items = load ptr, ptr %list_items_at
  %list_item_at = getelementptr ptr, ptr %list_items, i64 %b
  %list_item = load ptr, ptr %list_item_at
  br label %fetched
key:
  %key_at = getelementptr ptr, ptr %held, i64 %a
  %dict_given = load ptr, ptr %key_at
  br label %lookup
read:
  %dict_read = inttoptr i64 %a to ptr
  br label %lookup
lookup:
  %dict = phi ptr [ %dict_given, %key ], [ %dict_read, %read ]
  %name = inttoptr i64 %b to ptr
  %found = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %name)
  %missing = icmp eq ptr %found, null
  br i1 %missing, label %absent, label %fetched
absent:
  %error = call ptr @PyErr_Occurred()
  %raised = icmp ne ptr %error, null
  br i1 %raised, label %clear, label %fetched
clear:
  call void @PyErr_Clear()
  br label %differs
field:
  %field_at = inttoptr i64 %a to ptr
  %field_value = load ptr, ptr %field_at
  br label %fetched

fetched:
  %object = phi ptr
    [ %given, %argument ], [ %tuple_item, %tuple ], [ %list_item, %list_read ], [ %found, %lookup ],
    [ null, %absent ], [ %field_value, %field ]
  %any = icmp eq i64 %check, $CHECK_SAME
  br i1 %any, label %same, label %typed
same:
  %is_same = icmp eq ptr %object, %type
  br i1 %is_same, label %advance, label %differs
typed:
  %nothing = icmp eq ptr %object, null
  br i1 %nothing, label %differs, label %ask_type
ask_type:
  %object_type_at = getelementptr i8, ptr %object, i64 8
  %object_type = load ptr, ptr %object_type_at
  %exact = icmp eq ptr %object_type, %type
  br i1 %exact, label %checks, label %differs
checks:
  %content_at = getelementptr i8, ptr %object, i64 16
  switch i64 %check, label %differs [
    i64 $CHECK_EQUAL, label %equal
    i64 $CHECK_BITS, label %bits
    i64 $CHECK_NUMBER, label %number
    i64 $CHECK_ITEMS, label %items
    i64 $CHECK_ARRAY, label %array
    i64 $CHECK_OBJECT, label %attributes
  ]
equal:
  %expected = inttoptr i64 %v to ptr
  %agrees = call i32 @PyObject_RichCompareBool(ptr %object, ptr %expected, i32 2)
  %is_equal = icmp eq i32 %agrees, 1
  br i1 %is_equal, label %advance, label %clear
bits:
  %pattern = load i64, ptr %content_at
  %has_bits = icmp eq i64 %pattern, %v
  br i1 %has_bits, label %advance, label %differs
number:
  %cell = getelementptr i8, ptr %block, i64 %v
  %low = load i64, ptr %content_at
  store i64 %low, ptr %cell
  %wide_at = getelementptr i64, ptr %at, i64 7
  %wide = load i64, ptr %wide_at
  %is_wide = icmp ne i64 %wide, 0
  br i1 %is_wide, label %high, label %advance
high:
  %high_at = getelementptr i64, ptr %content_at, i64 1
  %high_word = load i64, ptr %high_at
  %high_cell = getelementptr i64, ptr %cell, i64 1
  store i64 %high_word, ptr %high_cell
  br label %advance
items:
  %size = load i64, ptr %content_at
  %has_size = icmp eq i64 %size, %v
  br i1 %has_size, label %keep, label %differs
array:
  %is_array = call i1 @NAME_array(ptr %object, ptr %at, ptr %block)
  br i1 %is_array, label %keep, label %differs
keep:
  %held_at = getelementptr ptr, ptr %held, i64 %n
  store ptr %object, ptr %held_at
  call void @Py_IncRef(ptr %object)
  %one_more = add i64 %n, 1
  br label %advance
attributes:
  %own = call ptr @PyObject_GenericGetDict(ptr %object, ptr null)
  %no_own = icmp eq ptr %own, null
  br i1 %no_own, label %clear, label %keep_own
keep_own:
  %own_at = getelementptr ptr, ptr %held, i64 %n
  store ptr %own, ptr %own_at
  %one_own = add i64 %n, 1
  br label %advance
advance:
  %count = phi i64
    [ %n, %same ], [ %n, %equal ], [ %n, %bits ], [ %n, %number ], [ %n, %high ], [ %one_more, %keep ],
    [ %one_own, %keep_own ]
  %following = getelementptr i64, ptr %at, i64 %length
  br label %next
differs:
  %negative = xor i64 %n, -1
  ret i64 %negative
}

; Whether an array has the dtype, shape, strides and flags of [... type, dtype, flags and number of the dtype, axes,
; slots, (slot's offset)..., (size, stride)...]; its address goes into the slots.
define private i1 @NAME_array(ptr %array, ptr %at, ptr %block) {
start:
  %wanted_dtype_at = getelementptr i64, ptr %at, i64 6
  %wanted_dtype = load ptr, ptr %wanted_dtype_at
  %dtype_at = getelementptr i8, ptr %array, i64 $DTYPE
  %dtype = load ptr, ptr %dtype_at
  %usual = icmp eq ptr %dtype, %wanted_dtype
  br i1 %usual, label %form, label %copy
copy:
  %number_at = getelementptr i8, ptr %dtype, i64 $DTYPE_NUMBER
  %number = load i32, ptr %number_at
  %wanted_number_at = getelementptr i64, ptr %at, i64 7
  %wanted_number = load i64, ptr %wanted_number_at
  %wanted_short = trunc i64 %wanted_number to i32
  %equal = icmp eq i32 %number, %wanted_short
  %order_at = getelementptr i8, ptr %dtype, i64 $DTYPE_ORDER
  %order = load i8, ptr %order_at
  %native = icmp eq i8 %order, 61
  %without = icmp eq i8 %order, 124
  %ordered = or i1 %native, %without
  %copied = and i1 %equal, %ordered
  br i1 %copied, label %form, label %no
form:
  %flags_at = getelementptr i8, ptr %array, i64 $FLAGS
  %flags = load i32, ptr %flags_at
  %form_at = getelementptr i64, ptr %at, i64 7
  %form_word = load i64, ptr %form_at
  %flags_word = lshr i64 %form_word, 32
  %wanted_flags = trunc i64 %flags_word to i32
  %has_flags = and i32 %flags, %wanted_flags
  %aligned = icmp eq i32 %has_flags, %wanted_flags
  %axes_at = getelementptr i8, ptr %array, i64 $AXES
  %axes = load i32, ptr %axes_at
  %wanted_axes_at = getelementptr i64, ptr %at, i64 8
  %wanted_axes = load i64, ptr %wanted_axes_at
  %wanted_axes_short = trunc i64 %wanted_axes to i32
  %same_axes = icmp eq i32 %axes, %wanted_axes_short
  %fits = and i1 %aligned, %same_axes
  br i1 %fits, label %addresses, label %no
addresses:
  %data_at = getelementptr i8, ptr %array, i64 $DATA
  %data = load ptr, ptr %data_at
  %count_at = getelementptr i64, ptr %at, i64 9
  %count = load i64, ptr %count_at
  %offsets = getelementptr i64, ptr %at, i64 10
  br label %next_slot
next_slot:
  %k = phi i64 [ 0, %addresses ], [ %after_slot, %slot ]
  %more_slots = icmp slt i64 %k, %count
  br i1 %more_slots, label %slot, label %sizes
slot:
  %offset_at = getelementptr i64, ptr %offsets, i64 %k
  %offset = load i64, ptr %offset_at
  %slot_at = getelementptr i8, ptr %block, i64 %offset
  store ptr %data, ptr %slot_at
  %after_slot = add i64 %k, 1
  br label %next_slot
sizes:
  %pairs = getelementptr i64, ptr %offsets, i64 %count
  %shape_at = getelementptr i8, ptr %array, i64 $SHAPE
  %shape = load ptr, ptr %shape_at
  %strides_at = getelementptr i8, ptr %array, i64 $STRIDES
  %strides = load ptr, ptr %strides_at
  br label %next_axis
next_axis:
  %j = phi i64 [ 0, %sizes ], [ %after_axis, %axis_fits ]
  %more_axes = icmp slt i64 %j, %wanted_axes
  br i1 %more_axes, label %axis, label %yes
axis:
  %pair = getelementptr [2 x i64], ptr %pairs, i64 %j
  %wanted_size = load i64, ptr %pair
  %wanted_stride_at = getelementptr i64, ptr %pair, i64 1
  %wanted_stride = load i64, ptr %wanted_stride_at
  %size_at = getelementptr i64, ptr %shape, i64 %j
  %size = load i64, ptr %size_at
  %stride_at = getelementptr i64, ptr %strides, i64 %j
  %stride = load i64, ptr %stride_at
  %same_size = icmp eq i64 %size, %wanted_size
  %same_stride = icmp eq i64 %stride, %wanted_stride
  %single = icmp sle i64 %size, 1
  %steps = or i1 %same_stride, %single
  %axis_same = and i1 %same_size, %steps
  br i1 %axis_same, label %axis_fits, label %no
axis_fits:
  %after_axis = add i64 %j, 1
  br label %next_axis
yes:
  ret i1 true
no:
  ret i1 false
}

; Make the arrays, run the program, build the result; null if that fails, with an exception only if a caller's own
; constructor raised it.
define private ptr @NAME_perform(ptr %words, ptr %block) {
start:
  %slots = getelementptr ptr, ptr %block, i64 2
  %arrays_at = getelementptr i8, ptr %words, i64 $HEADER_ARRAYS
  %arrays_offset = load i64, ptr %arrays_at
  %arrays = getelementptr i8, ptr %block, i64 %arrays_offset
  %stack_at = getelementptr i8, ptr %words, i64 $HEADER_STACK
  %stack_offset = load i64, ptr %stack_at
  %stack = getelementptr i8, ptr %block, i64 %stack_offset
  %outputs_at = getelementptr i8, ptr %words, i64 $HEADER_OUTPUTS
  %outputs = load i64, ptr %outputs_at
  %make_at = getelementptr i8, ptr %words, i64 $HEADER_MAKE
  %make_offset = load i64, ptr %make_at
  %make = getelementptr i64, ptr %words, i64 %make_offset
  %array_type_at = getelementptr i8, ptr %words, i64 $HEADER_ARRAY_TYPE
  %array_type = load ptr, ptr %array_type_at
  %new_array_at = getelementptr i8, ptr %words, i64 $HEADER_NEW_ARRAY
  %new_array = load ptr, ptr %new_array_at
  br label %next_array

; [dtype, length, axes, slots, (slot's offset, offset in the array)..., size...]
next_array:
  %made_count = phi i64 [ 0, %start ], [ %after_array, %array_done ]
  %make_word = phi ptr [ %make, %start ], [ %make_following, %array_done ]
  %more_arrays = icmp slt i64 %made_count, %outputs
  br i1 %more_arrays, label %array, label %run
array:
  %dtype = load ptr, ptr %make_word
  %make_length_at = getelementptr i64, ptr %make_word, i64 1
  %make_length = load i64, ptr %make_length_at
  %axes_at = getelementptr i64, ptr %make_word, i64 2
  %axes = load i64, ptr %axes_at
  %axes_short = trunc i64 %axes to i32
  %count_at = getelementptr i64, ptr %make_word, i64 3
  %count = load i64, ptr %count_at
  %offsets = getelementptr i64, ptr %make_word, i64 4
  %words_of_slots = mul i64 %count, 2
  %shape = getelementptr i64, ptr %offsets, i64 %words_of_slots
  call void @Py_IncRef(ptr %dtype)
  %new = call ptr %new_array(
    ptr %array_type, ptr %dtype, i32 %axes_short, ptr %shape, ptr null, ptr null, i32 0, ptr null)
  %no_array = icmp eq ptr %new, null
  br i1 %no_array, label %fail_arrays, label %array_slots
fail_arrays:
  call void @PyErr_Clear()
  br label %undo
array_slots:
  %new_at = getelementptr ptr, ptr %arrays, i64 %made_count
  store ptr %new, ptr %new_at
  %data_at = getelementptr i8, ptr %new, i64 $DATA
  %data = load ptr, ptr %data_at
  br label %next_slot
next_slot:
  %k = phi i64 [ 0, %array_slots ], [ %after_slot, %slot ]
  %more_slots = icmp slt i64 %k, %count
  br i1 %more_slots, label %slot, label %array_done
slot:
  %offset_at = getelementptr [2 x i64], ptr %offsets, i64 %k
  %offset = load i64, ptr %offset_at
  %inside_at = getelementptr i64, ptr %offset_at, i64 1
  %inside = load i64, ptr %inside_at
  %part = getelementptr i8, ptr %data, i64 %inside
  %slot_at = getelementptr i8, ptr %block, i64 %offset
  store ptr %part, ptr %slot_at
  %after_slot = add i64 %k, 1
  br label %next_slot
array_done:
  %after_array = add i64 %made_count, 1
  %make_following = getelementptr i64, ptr %make_word, i64 %make_length
  br label %next_array

run:
  %program_at = getelementptr i8, ptr %words, i64 $HEADER_PROGRAM
  %program = load ptr, ptr %program_at
  %unlocked_at = getelementptr i8, ptr %words, i64 $HEADER_UNLOCKED
  %unlocked = load i64, ptr %unlocked_at
  %keeps_lock = icmp eq i64 %unlocked, 0
  br i1 %keeps_lock, label %locked_run, label %unlocked_run
locked_run:
  %locked_code = call i32 @NAME_run(ptr %program, ptr %slots)
  br label %ran
unlocked_run:
  %thread = call ptr @PyEval_SaveThread()
  %unlocked_code = call i32 @NAME_run(ptr %program, ptr %slots)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %ran
ran:
  %stopped = phi i32 [ %locked_code, %locked_run ], [ %unlocked_code, %unlocked_run ]
  %guarded = icmp ne i32 %stopped, 0
  br i1 %guarded, label %undo, label %build

build:
  %build_at = getelementptr i8, ptr %words, i64 $HEADER_BUILD
  %build_offset = load i64, ptr %build_at
  %code = getelementptr i64, ptr %words, i64 %build_offset
  br label %next
next:
  %at = phi ptr [ %code, %build ], [ %following, %pushed ]
  %depth = phi i64 [ 0, %build ], [ %deeper, %pushed ]
  %moved = phi i64 [ 0, %build ], [ %moved_after, %pushed ]
  %op = load i64, ptr %at
  %length_at = getelementptr i64, ptr %at, i64 1
  %length = load i64, ptr %length_at
  %w_at = getelementptr i64, ptr %at, i64 2
  %w = load ptr, ptr %w_at
  %n_at = getelementptr i64, ptr %at, i64 3
  %n = load i64, ptr %n_at
  %keys = getelementptr i64, ptr %at, i64 4
  %cell_offset = load i64, ptr %w_at
  %cell = getelementptr i8, ptr %block, i64 %cell_offset
  %base = sub i64 %depth, %n
  %items = getelementptr ptr, ptr %stack, i64 %base
  switch i64 %op, label %end [
    i64 $BUILD_ARRAY, label %build_array
    i64 $BUILD_CONSTANT, label %build_constant
    i64 $BUILD_FLOAT, label %build_float
    i64 $BUILD_COMPLEX, label %build_complex
    i64 $BUILD_INT, label %build_int
    i64 $BUILD_BOOL, label %build_bool
    i64 $BUILD_SCALAR, label %build_scalar
    i64 $BUILD_TUPLE, label %build_tuple
    i64 $BUILD_LIST, label %build_list
    i64 $BUILD_DICT, label %build_dict
    i64 $BUILD_CALL, label %build_call
  ]
end:
  %result = load ptr, ptr %stack
  ret ptr %result
build_array:
  %array_at = getelementptr ptr, ptr %arrays, i64 %moved
  %array_object = load ptr, ptr %array_at
  %array_moved = add i64 %moved, 1
  br label %push
build_constant:
  call void @Py_IncRef(ptr %w)
  br label %push
build_float:
  %float_value = load double, ptr %cell
  %float_object = call ptr @PyFloat_FromDouble(double %float_value)
  br label %push
build_complex:
  %real = load double, ptr %cell
  %imaginary_at = getelementptr double, ptr %cell, i64 1
  %imaginary = load double, ptr %imaginary_at
  %complex_object = call ptr @PyComplex_FromDoubles(double %real, double %imaginary)
  br label %push
build_int:
  %int_value = load i64, ptr %cell
  %int_object = call ptr @PyLong_FromLongLong(i64 %int_value)
  br label %push
build_bool:
  %bool_value = load i8, ptr %cell
  %bool_word = zext i8 %bool_value to i64
  %bool_object = call ptr @PyBool_FromLong(i64 %bool_word)
  br label %push
build_scalar:
  %scalar_dtype_at = getelementptr i64, ptr %at, i64 4
  %scalar_dtype = load ptr, ptr %scalar_dtype_at
  %new_scalar_at = getelementptr i8, ptr %words, i64 $HEADER_NEW_SCALAR
  %new_scalar = load ptr, ptr %new_scalar_at
  %scalar_object = call ptr %new_scalar(ptr %cell, ptr %scalar_dtype, ptr null)
  br label %push
build_tuple:
  %tuple_object = call ptr @PyTuple_New(i64 %n)
  %no_tuple = icmp eq ptr %tuple_object, null
  br i1 %no_tuple, label %fail, label %next_tuple
next_tuple:
  %tuple_k = phi i64 [ 0, %build_tuple ], [ %tuple_after, %tuple_item ]
  %tuple_more = icmp slt i64 %tuple_k, %n
  br i1 %tuple_more, label %tuple_item, label %push
tuple_item:
  %tuple_item_at = getelementptr ptr, ptr %items, i64 %tuple_k
  %tuple_value = load ptr, ptr %tuple_item_at
  %tuple_code = call i32 @PyTuple_SetItem(ptr %tuple_object, i64 %tuple_k, ptr %tuple_value)
  %tuple_after = add i64 %tuple_k, 1
  br label %next_tuple
build_list:
  %list_object = call ptr @PyList_New(i64 %n)
  %no_list = icmp eq ptr %list_object, null
  br i1 %no_list, label %fail, label %next_list
next_list:
  %list_k = phi i64 [ 0, %build_list ], [ %list_after, %list_item ]
  %list_more = icmp slt i64 %list_k, %n
  br i1 %list_more, label %list_item, label %push
list_item:
  %list_item_at = getelementptr ptr, ptr %items, i64 %list_k
  %list_value = load ptr, ptr %list_item_at
  %list_code = call i32 @PyList_SetItem(ptr %list_object, i64 %list_k, ptr %list_value)
  %list_after = add i64 %list_k, 1
  br label %next_list
; A copy of a dict with all keys is a copy of its table of keys, and never grows when its values are set.
build_dict:
  %dict_object = call ptr @PyDict_Copy(ptr %w)
  %no_dict = icmp eq ptr %dict_object, null
  br i1 %no_dict, label %fail, label %next_dict
next_dict:
  %dict_k = phi i64 [ 0, %build_dict ], [ %dict_after, %dict_item ]
  %dict_more = icmp slt i64 %dict_k, %n
  br i1 %dict_more, label %dict_item, label %drop_items
dict_item:
  %dict_key_at = getelementptr ptr, ptr %keys, i64 %dict_k
  %dict_key = load ptr, ptr %dict_key_at
  %dict_item_at = getelementptr ptr, ptr %items, i64 %dict_k
  %dict_value = load ptr, ptr %dict_item_at
  %dict_code = call i32 @PyDict_SetItem(ptr %dict_object, ptr %dict_key, ptr %dict_value)
  %dict_after = add i64 %dict_k, 1
  %dict_failed = icmp ne i32 %dict_code, 0
  br i1 %dict_failed, label %fail_dict, label %next_dict
fail_dict:
  call void @Py_DecRef(ptr %dict_object)
  br label %fail
build_call:
  %call_object = call ptr @PyObject_Vectorcall(ptr %w, ptr %items, i64 %n, ptr null)
  %call_failed = icmp eq ptr %call_object, null
  br i1 %call_failed, label %undo_build, label %drop_items
drop_items:
  %whole = phi ptr [ %dict_object, %next_dict ], [ %call_object, %build_call ]
  br label %next_drop
next_drop:
  %drop_k = phi i64 [ 0, %drop_items ], [ %drop_after, %drop_item ]
  %drop_more = icmp slt i64 %drop_k, %n
  br i1 %drop_more, label %drop_item, label %push
drop_item:
  %drop_at = getelementptr ptr, ptr %items, i64 %drop_k
  %dropped = load ptr, ptr %drop_at
  call void @Py_DecRef(ptr %dropped)
  %drop_after = add i64 %drop_k, 1
  br label %next_drop
push:
  %made = phi ptr
    [ %array_object, %build_array ], [ %w, %build_constant ], [ %float_object, %build_float ],
    [ %complex_object, %build_complex ], [ %int_object, %build_int ], [ %bool_object, %build_bool ],
    [ %scalar_object, %build_scalar ], [ %tuple_object, %next_tuple ], [ %list_object, %next_list ],
    [ %whole, %next_drop ]
  %moved_after = phi i64
    [ %array_moved, %build_array ], [ %moved, %build_constant ], [ %moved, %build_float ],
    [ %moved, %build_complex ], [ %moved, %build_int ], [ %moved, %build_bool ], [ %moved, %build_scalar ],
    [ %moved, %next_tuple ], [ %moved, %next_list ], [ %moved, %next_drop ]
  %nothing = icmp eq ptr %made, null
  br i1 %nothing, label %fail, label %pushed
pushed:
  store ptr %made, ptr %items
  %deeper = add i64 %base, 1
  %following = getelementptr i64, ptr %at, i64 %length
  br label %next

fail:
  call void @PyErr_Clear()
  br label %undo_build
; A failed instruction leaves what it was to use on the stack; arrays not yet moved there are dropped, too.
undo_build:
  br label %next_stack
next_stack:
  %stack_k = phi i64 [ %depth, %undo_build ], [ %stack_left, %stack_drop ]
  %stack_more = icmp sgt i64 %stack_k, 0
  br i1 %stack_more, label %stack_drop, label %undo
stack_drop:
  %stack_left = sub i64 %stack_k, 1
  %stack_object_at = getelementptr ptr, ptr %stack, i64 %stack_left
  %stack_object = load ptr, ptr %stack_object_at
  call void @Py_DecRef(ptr %stack_object)
  br label %next_stack
undo:
  %from = phi i64 [ 0, %fail_arrays ], [ 0, %ran ], [ %moved, %next_stack ]
  %until = phi i64 [ %made_count, %fail_arrays ], [ %outputs, %ran ], [ %outputs, %next_stack ]
  br label %next_undo
next_undo:
  %undo_k = phi i64 [ %from, %undo ], [ %undo_after, %undo_drop ]
  %undo_more = icmp slt i64 %undo_k, %until
  br i1 %undo_more, label %undo_drop, label %failed
undo_drop:
  %undo_at = getelementptr ptr, ptr %arrays, i64 %undo_k
  %undo_object = load ptr, ptr %undo_at
  call void @Py_DecRef(ptr %undo_object)
  %undo_after = add i64 %undo_k, 1
  br label %next_undo
failed:
  ret ptr null
}

; The steps in order until one does not return 0.
define private i32 @NAME_run(ptr %program, ptr %slots) {
start:
  br label %next
next:
  %pair = phi ptr [ %program, %start ], [ %following, %call ]
  %step = load ptr, ptr %pair
  %over = icmp eq ptr %step, null
  br i1 %over, label %end, label %call
end:
  ret i32 0
call:
  %params_at = getelementptr ptr, ptr %pair, i64 1
  %params = load ptr, ptr %params_at
  %code = call i32 %step(ptr %slots, ptr %params)
  %following = getelementptr ptr, ptr %pair, i64 2
  %goes_on = icmp eq i32 %code, 0
  br i1 %goes_on, label %next, label %stop
stop:
  ret i32 %code
}
"""
