"""One step of gradient descent in the machine code of a kernel: the way around the loop that holds the products.
Which turn a branch takes at run time is not written in the code. Taken are:

* where lanes may have parted (BRA.DIV), the turn of those that have not;
* where one turn never comes back to the loop's start, the other, there and wherever the same predicate is asked;
* at a size test (signed order of integers: row < n, j < d) the long way, because an instance fills its kernel;
* else the short way, which leaves out options, traces, the guard's retry, slow paths of division and the test,
  but not the update: what the products read must have been written since.
"""
import collections
import functools
import math
import re
import sys

from machine_code import Function

PRODUCTS = {"FFMA", "DFMA"}
KINDS = {"FFMA": "FMA", "DFMA": "FMA", "HFMA2": "FMA", "SHFL": "SHFL", "MUFU": "MUFU", "LDS": "LDS/STS",
         "STS": "LDS/STS", "FADD": "ADD/MUL", "FMUL": "ADD/MUL", "DADD": "ADD/MUL", "DMUL": "ADD/MUL", "BAR": "BAR",
         "UCGABAR_ARV": "BAR", "UCGABAR_WAIT": "BAR"}
COLUMNS = ["FMA", "SHFL", "MUFU", "LDS/STS", "ADD/MUL", "BAR", "other"]
sys.setrecursionlimit(20000)  # a path has as many levels as blocks


def kind(instruction):
    moves = instruction.base == "HFMA2" and "RZ, RZ" in instruction.text.replace("-", "")  # a constant
    return "other" if moves else KINDS.get(instruction.base, "other")


class Predicates:
    """What a predicate means. ptxas saves predicates in registers, by P2R or bit by bit by LOP3."""

    def __init__(self, function):
        self.function = function

    def _saved(self, block, k):
        """Where the predicate that this instruction restores was saved: [(block, index, predicate)], or None."""
        f, i = self.function, self.function.blocks[block][k]
        if i.opcode == "ISETP.NE.AND" and i.operands[3] == "RZ":
            places = f.definitions(block, k, i.operands[2])
            if places and all(f.blocks[b][j].base == "P2R" for b, j in places):
                return [(b, j, f"P{int(f.blocks[b][j].operands[3], 16).bit_length() - 1}") for b, j in places]
        if i.opcode == "LOP3.LUT" and i.operands[1] == "RZ" and i.operands[3].startswith("0x"):
            register, mask = i.operands[2], int(i.operands[3], 16)
            masks = {hex(mask), hex(mask ^ 0xffffffff)}  # sets, clears
            return [(b, j, f.blocks[b][j].guard.lstrip("!")) for b, j in f.such_definitions(
                block, k, register, lambda j: j.opcode == "LOP3.LUT" and j.operands[1] == register
                and j.operands[2] in masks)]
        return None

    def is_size_test(self, block, k, predicate, depth=0):
        if not re.fullmatch(r"U?P\d", predicate) or depth > 6:
            return False
        for b, j in self.function.definitions(block, k, predicate):
            i = self.function.blocks[b][j]
            if re.match(r"U?ISETP\.(GE|GT|LE|LT)\.(?!U32)", i.opcode) and ".EX" not in i.opcode:
                return True
            sources = [(b, j, source.lstrip("!")) for source in i.operands[2:5]
                       if re.fullmatch(r"!?U?P\d", source)] if "PLOP3" in i.opcode else self._saved(b, j) or []
            if (len(sources) == 1 or "PLOP3" not in i.opcode) and \
                    any(self.is_size_test(*source, depth + 1) for source in sources):
                return True
        return False

    def identity(self, block, k, predicate, way=None):
        """Equal for two places whose predicate is the same value; as it is for who has come by a way, a set of blocks."""
        places = self.function.definitions(block, k, predicate)
        if way and sum(b in way for b, _ in places) == 1:
            places = [place for place in places if place[0] in way]
        if len(places) == 1 and not self.function.blocks[places[0][0]][places[0][1]].guard:
            saved = self._saved(*places[0])
            if saved:
                return self.identity(*saved[0]) if len(saved) == 1 and saved[0][2] else frozenset(saved)
            return self._computed(*places[0]) or frozenset(places)
        return frozenset(places)

    def _computed(self, block, k):
        """A comparison of registers, by what it compares: asked twice it has one answer."""
        f, i = self.function, self.function.blocks[block][k]
        registers = [re.fullmatch(r"R\d+", operand) for operand in i.operands[2:4]]
        if not i.opcode.startswith("ISETP") or i.operands[4:] != ["PT"] or not all(registers):
            return None
        return (i.opcode, i.operands[0] == "PT") + tuple(
            (operand, frozenset(f.definitions(block, k, operand))) for operand in i.operands[2:4])


class Walk:
    """The way around a loop, through at least one block of each set of `through`."""

    def __init__(self, step, through):
        self.step, self.function, self.through = step, step.function, through
        self.seen = {}

    def cost(self, block):
        return sum(1 for _ in self.step.executed(block))

    def options(self, block, pending):
        for onward in self.function.successors[block]:
            if self.step.forced.get(block, onward) != onward:
                continue
            if (block, onward) in self.function.back:
                if onward == self.step.header and not pending:
                    yield 0, None
            elif onward in self.step.body:
                cost = self.best(onward, pending)[0]
                if cost < math.inf:
                    yield cost, onward

    def best(self, block, pending):
        """(cost of the rest of the way, next block, what is still to pass)"""
        if (block, pending) not in self.seen:
            self.seen[block, pending] = math.inf, None, pending
            left = pending - {k for k, some in enumerate(self.through) if block in some}
            options = list(self.options(block, left))
            if len(options) == 2 and self.step.is_size_test(block) and None not in (options[0][1], options[1][1]):
                options = [o for o in options if self.step.is_body(o[1], options)] or options
            if options:
                cost, onward = min(options, key=lambda option: option[0])
                self.seen[block, pending] = cost + self.cost(block), onward, left
        return self.seen[block, pending]

    def certain(self):
        """Block of the path -> the successor, where the other turn does not come back to the start."""
        return {block: self.seen[state][1] for state in self.states for block in state[:1]
                if len(self.function.successors[block]) == 2 and self.seen[state][1] is not None
                and len(list(self.options(block, self.seen[state][2]))) == 1}

    def path(self):
        block, pending = self.step.header, frozenset(range(len(self.through)))
        if self.best(block, pending)[0] == math.inf:
            return None
        self.states = []
        while block is not None:
            self.states.append((block, pending))
            _, block, pending = self.seen[block, pending]
        return [block for block, _ in self.states]


class Step:
    def __init__(self, text, needed):
        """needed: fused multiplications of a lane in both products."""
        self.function, self.needed = Function(text), needed
        f = self.function
        self.predicates = Predicates(f)
        keeps = set(self._keeps())
        assert keeps, "no block keeps a result"
        around = [(sum(len(f.blocks[b]) for b in body), header) for header, body in f.loops.items()
                  if self._products(body) >= needed and body & keeps]
        assert around, "no loop holds the products and keeps results"
        self.header = min(around)[1]
        self.body = f.loops[self.header]
        self.forced = {}  # block -> the successor that its branch takes
        self._force({b: f.successors[b][1] for b in self.body if f.blocks[b][-1].opcode == "BRA.DIV"})
        self.unchecked = self._whole([])
        certain = dict(self.forced)
        self.checked = self._whole([keeps])
        self.forced = certain

    def _products(self, blocks):
        return sum(i.base in PRODUCTS for b in blocks for i in self.function.blocks[b])

    @functools.lru_cache(maxsize=None)
    def is_size_test(self, block):
        last = self.function.blocks[block][-1]
        predicates = re.findall(r"\bU?P\d", f"{last.guard} {last.text}") if last.base == "BRA" else []
        return any(self.predicates.is_size_test(block, len(self.function.blocks[block]) - 1, p) for p in predicates)

    def is_body(self, block, options):
        """Of `if (row < n) ...`: what leads to the other turn. Not if it loads the A of the next instance, which is no
        part of a step."""
        other = next(o[1] for o in options if o[1] != block)
        loads = sum(i.base in {"LDG", "LD"} for b in self.reach(block) - self.reach(other)
                    for i in self.function.blocks[b])
        return other in self.reach(block) and loads <= max(1, self.needed // 8)  # of four numbers each, once

    @functools.lru_cache(maxsize=None)
    def reach(self, block):
        return {block}.union(*(self.reach(b) for b in self.function.successors[block]
                               if b in self.body and (block, b) not in self.function.back))

    @functools.cached_property
    def _asked(self):
        """Block -> what its branch asks, and whether it is taken if that holds."""
        asked = {}
        for block in self.body:
            last = self.function.blocks[block][-1]
            if last.opcode == "BRA" and last.guard and last.text.startswith("0x"):
                asked[block] = self._what(block), not last.guard.startswith("!")
        return asked

    def _what(self, block, way=None):
        predicate = self.function.blocks[block][-1].guard.lstrip("!")
        return self.predicates.identity(block, len(self.function.blocks[block]) - 1, predicate, way)

    def _force(self, turns, way=None):
        """Takes note of certain turns, block -> successor, and of those at branches that ask the same."""
        known = {}
        for block, onward in turns.items():
            if block in self._asked:
                what, if_holds = self._asked[block]
                known[what] = known[self._what(block, way)] = (
                    onward == self.function.successors[block][0]) == if_holds
        before = len(self.forced)
        self.forced |= turns | {block: self.function.successors[block][0 if known[what] == if_holds else 1]
                                for block, (what, if_holds) in self._asked.items() if what in known}
        return len(self.forced) > before

    def _around(self, through):
        """The way around the loop, once what it takes for granted agrees with itself."""
        while True:
            walk = Walk(self, through)
            path = walk.path()
            assert path, "no way around the loop"
            if not self._force(walk.certain(), set(path)):
                return path

    def _whole(self, through):
        """The way around the loop that has both products and the update."""
        while True:
            way = self._around(through)
            missing = next((some for some in self._missing(way) if Walk(self, through + [some]).path()), None)
            if not missing:
                return way
            through = through + [missing]
            assert len(through) < 8, "no way around the loop has both products and the update"

    def _missing(self, way):
        """Blocks of which a step passes one, and a way none."""
        f, path = self.function, set(way)
        if self.counts(path)["FMA"] < self.needed:  # there is a way around the products: no instance is left
            left = {b: self._products([b]) for b in self._reached() - path}
            yield {max(left, key=left.get)}
        after = self.reach(max(path, key=lambda b: self._products([b])))  # not what loads the next instance
        written, read = set(), {}
        for block in way:
            multiplies = 4 * self._products([block]) >= self.needed
            for k, i in enumerate(f.blocks[block]):
                if multiplies and i.base in PRODUCTS:
                    for register in set(re.findall(r"\bR\d+", ",".join(i.operands[1:]))) - written:
                        read.setdefault(register, (block, k))
                written |= i.writes
        for register, (block, k) in read.items():
            writers = {b for b, _ in f.definitions(block, k, register)} & after
            if writers and not writers & path:
                yield writers

    def _reached(self):
        seen, stack = set(), [self.header]
        while stack:
            block = stack.pop()
            if block in self.body - seen:
                seen.add(block)
                stack += [self.forced[block]] if block in self.forced else self.function.successors[block]
        return seen

    def _keeps(self):
        """Blocks that store an outcome: through one pointer one constant, the status, and four numbers more.
        (The end of an instance that has no result writes constants.)"""
        for block in self.function.blocks:
            constants, others = collections.Counter(), collections.Counter()
            for k, i in enumerate(self.function.blocks[block]):
                if i.base == "STG":
                    place = re.search(r"\[(R\d+)", i.text).group(1), i.opcode
                    if self._is_constant(block, k, i.operands[-1]):
                        constants[place] += 1
                    else:
                        others[place] += 1
            if any(constants[place] == 1 and numbers == (3 if ".64" in place[1] else 4)  # status, step: one of 64
                   for place, numbers in others.items()):
                yield block

    def _is_constant(self, block, k, name):
        places = self.function.definitions(block, k, name)
        return name == "RZ" or bool(places) and all(
            re.match(r"(MOV|IMAD\.MOV|HFMA2|CS2R)\b", i.opcode) and not re.search(r"\bU?R\d", ",".join(i.operands[1:]))
            for i in (self.function.blocks[b][j] for b, j in places))

    def executed(self, block):
        for i in self.function.blocks[block]:
            yield i
            if i.base == "CALL":
                for called in self.function.call(i.target):
                    yield from self.executed(called)

    def instructions(self, path):
        for block in path:
            yield from self.executed(block)

    def counts(self, path):
        return collections.Counter(kind(i) for i in self.instructions(path))

    def inner_loops(self):
        """Header -> fused multiplications of one pass, of the loops inside that the unchecked step enters."""
        inner = {h: body for h, body in self.function.loops.items() if h in self.body and h != self.header}
        return {h: self.counts([b for b in self.unchecked if b in body])["FMA"]
                for h, body in inner.items() if h in self.unchecked}

    def unrolled_products(self):
        """Fused multiplications of the unchecked step outside every inner loop."""
        inside = set().union(*(body for h, body in self.function.loops.items()
                               if h in self.body and h != self.header))
        return self.counts([b for b in self.unchecked if b not in inside])["FMA"]
