"""Where a C source can be mutated, and the source with all mutants in it.

clang parses; its tree says where each expression begins and ends, in bytes.
Only what stands in a function's body, and not in a macro, is touched: constant
initialisers, array sizes, labels and enumerations are not.  Every mutant is in
the rewritten source at once, and asks mutant(N), of mutant.h, whether it is the
chosen one; operands are evaluated once, and in order, whichever that is.
"""
import collections
import json
import os
import re
import subprocess

FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
         '-DSNAPCTL_VERSION="0"', "-DSNAPCTL_TEST_HOOKS=1")

# Each boundary's neighbour, and what is the opposite.
NEIGHBOUR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
SWAPPED = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/",
           "<<": ">>", ">>": "<<", "&": "|", "|": "&"}
ASSIGNED = {"+=": "-=", "-=": "+="}
# Where an off-by-one of a constant is the neighbour of the comparison.
SAME_AS_NEIGHBOUR = {("<", 1), (">=", 1), (">", 0), ("<=", 0)}

# For people: nobody tests the texts, nor what only cleans up, which the
# sanitizers watch over.
UNTOUCHED_CALL = re.compile(r"err_\w+|log_\w+|printf|\w*snprintf")
CLEANING_CALL = re.compile(
    r"err_\w+|log_\w+|free|\w+_(free|done|wipe)|sodium_\w+|explicit_bzero")
CONSTANT = {"ConstantExpr", "EnumDecl", "StaticAssertDecl",
            "UnaryExprOrTypeTraitExpr", "OffsetOfExpr", "GenericSelectionExpr",
            "BinaryConditionalOperator"}
# What statements stand in.
STATEMENTS = {"CompoundStmt", "IfStmt", "ForStmt", "WhileStmt", "CaseStmt",
              "DefaultStmt", "LabelStmt"}
WRAPPERS = {"ImplicitCastExpr", "ParenExpr"}
# What tells which of a line's constants one is.
EXPRESSIONS = {"BinaryOperator", "CompoundAssignOperator", "UnaryOperator",
               "CallExpr", "ConditionalOperator", "ArraySubscriptExpr",
               "VarDecl", "ReturnStmt"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def tree_of(root, path):
    """The top-level nodes of the file itself, as clang tells them."""
    told = subprocess.run(
        ["clang", "-fsyntax-only", "-w", *FLAGS, "-I", root, "-Xclang",
         "-ast-dump=json", path], cwd=root, capture_output=True, timeout=300)
    if told.returncode:
        raise SystemExit(f"mutate: clang does not take {path}:\n" +
                         told.stderr.decode(errors="replace"))
    text = told.stdout.decode("latin-1")
    first = text.find(f'"file": {json.dumps(path)}')
    if first < 0:
        return []
    begin = text.rfind("\n    {\n", 0, first)
    end = text.rindex("\n  ]\n}")
    return json.loads("[" + text[begin:end] + "]")


def short(text, limit):
    text = " ".join(COMMENT.sub(" ", text).split())
    if len(text) <= limit:
        return text
    return text[:limit - limit // 3] + " … " + text[3 - limit // 3:]


class Source:
    """One file: its mutants, and the edits that bring them in."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), "rb") as f:
            self.text = f.read().decode("latin-1")
        self.file = path  # of the location last told
        self.function = None
        self.mutants = []
        self.edits = []  # (where, class, order, text, length replaced)
        for node in tree_of(root, path):
            self.locate(node)
            if node.get("kind") == "FunctionDecl":
                self.function = node["name"]
                for inner in node.get("inner", []):
                    if inner.get("kind") == "CompoundStmt":
                        self.visit(inner, None)

    # ---- Places -----------------------------------------------------------

    def locate(self, node):
        """
        Put the places of a node and of those below into "at", begin and end;
        "plain": no macro begins there.  clang names a file only on a change.
        """
        for key in "loc", "range":
            if key in node:
                self.enter(node[key])
        if "range" in node:
            begin = self.place(node["range"]["begin"], False)
            end = self.place(node["range"]["end"], True)
            if begin and end and begin[0] < end[0]:
                node["at"] = (begin[0], end[0])
                node["plain"] = begin[1]
        for inner in node.get("inner", []):
            self.locate(inner)

    def enter(self, place):
        """Note each location's file, in the order in which they stand."""
        if "offset" in place:
            self.file = place["file"] = place.get("file", self.file)
            return
        for key in "spellingLoc", "expansionLoc", "begin", "end":
            if key in place:
                self.enter(place[key])

    def place(self, place, after):
        """Offset in this file, and whether no macro is there; or None."""
        plain = "offset" in place
        place = place if plain else place.get("expansionLoc", {})
        if place.get("file") != self.path:
            return None
        offset = place["offset"]
        if after:
            offset += place["tokLen"]
            if not plain:
                offset = self.after_arguments(offset)
        return offset, plain

    def after_arguments(self, offset):
        """Past the parentheses of a macro's arguments, if it has any."""
        found = re.compile(r"\s*\(").match(self.text, offset)
        if not found:
            return offset
        depth = 0
        for token in re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[()]'
                                ).finditer(self.text, offset):
            depth += {"(": 1, ")": -1}.get(token.group(), 0)
            if depth == 0:
                return token.end()
        return offset

    def source(self, node):
        begin, end = node["at"]
        return self.text[begin:end]

    def between(self, left, right):
        """Where the operator between two nodes is, and its text."""
        begin, end = left["at"][1], right["at"][0]
        gap = COMMENT.sub(lambda m: " " * len(m.group()), self.text[begin:end])
        found = gap.strip()
        at = begin + gap.find(found)
        return at, found

    # ---- Mutants ----------------------------------------------------------

    def mutant(self, at, before, after):
        """A new one; where its number goes is written @N@ until all are."""
        line = self.text.count("\n", 0, at)
        self.mutants.append({
            "file": self.path, "line": line + 1, "function": self.function,
            "source": self.utf8(self.text.split("\n")[line].strip()),
            "before": self.utf8(before), "after": self.utf8(after)})
        return f"mutant(@{len(self.mutants) - 1}@)"

    @staticmethod
    def utf8(text):
        """What was read byte by byte, for people; "…" is ours."""
        return "…".join(part.encode("latin-1").decode(errors="replace")
                        for part in text.split("…"))

    def wrap(self, node, prefix, suffix):
        begin, end = node["at"]
        order = len(self.edits)
        self.edits.append((begin, 1, order, prefix, 0))
        self.edits.append((end, 0, -order, suffix, 0))

    def replace(self, at, length, text):
        self.edits.append((at, 2, 0, text, length))

    def rewritten(self):
        """The source with its mutants; numbered() sets their numbers."""
        out = ['#include "tests/mutate/mutant.h"\n#line 1\n']
        done = 0
        for where, _, _, text, length in sorted(self.edits):
            out += self.text[done:where], text
            done = where + length
        out.append(self.text[done:])
        return "".join(out)

    # ---- The walk ---------------------------------------------------------

    def visit(self, node, parent):
        kind = node.get("kind")
        if kind is None or kind in CONSTANT or "at" not in node:
            return
        node["up"] = parent
        if kind == "VarDecl" and node.get("storageClass") in ("static",
                                                              "extern"):
            return
        if kind == "CallExpr" and self.calls(node, UNTOUCHED_CALL):
            self.returned(node, parent)
            return
        if kind == "ImplicitCastExpr" and node["castKind"] == "NullToPointer":
            return
        self.statement(node, parent)
        if kind == "BinaryOperator":
            self.binary(node, parent)
        elif kind == "CompoundAssignOperator":
            self.compound(node)
        elif kind == "UnaryOperator":
            if self.unary(node, parent):
                return
        elif kind == "IntegerLiteral":
            self.literal(node, parent)
        self.condition(node)
        for inner in node.get("inner", []):
            self.visit(inner, node)

    def calls(self, node, pattern):
        return bool(pattern.fullmatch(
            re.split(r"\W", self.source(node), maxsplit=1)[0]))

    def binary(self, node, parent):
        op = node["opcode"]
        left, right = node["inner"]
        if "at" not in left or "at" not in right:
            return
        at, found = self.between(left, right)
        if found != op:
            return  # a macro's
        a, b = short(self.source(left), 40), short(self.source(right), 40)
        told = f"{a} {op} {b}"
        x = f"mutant_{at}"
        if op in NEIGHBOUR:
            near = self.mutant(at, told, f"{a} {NEIGHBOUR[op]} {b}")
            opposite = self.mutant(at, told, f"{a} {OPPOSITE[op]} {b}")
            self.operands(node, at, x,
                          f"({near} ? {x}a {NEIGHBOUR[op]} {x}b : {x}a {op} "
                          f"{x}b) != {opposite}")
        elif op in OPPOSITE:
            opposite = self.mutant(at, told, f"{a} {OPPOSITE[op]} {b}")
            self.wrap(node, "((", f") != {opposite})")
        elif op in ("&&", "||"):
            self.logical(node, parent, at, x, told)
        elif op in SWAPPED:
            if op == "+" and self.pointer(right) or \
               op == "-" and self.pointer(left) and self.pointer(right):
                return
            swapped = self.mutant(at, told, f"{a} {SWAPPED[op]} {b}")
            self.operands(node, at, x, f"{swapped} ? {x}a {SWAPPED[op]} {x}b "
                                       f": {x}a {op} {x}b")

    @staticmethod
    def pointer(node):
        kind = node["type"]
        return kind.get("desugaredQualType", kind["qualType"]).endswith(
            ("*", "*const", "]"))

    def operands(self, node, at, x, result):
        """Both evaluated, as the operator would have them, then the result."""
        left, right = node["inner"]
        a, b = ("" if self.pointer(n) else "+" for n in (left, right))
        self.wrap(node, f"({{ __auto_type {x}a = {a}(",
                  f"); {result}; }})")
        self.replace(at, len(node["opcode"]),
                     f"); __auto_type {x}b = {b}(")

    def logical(self, node, parent, at, x, told):
        """&& and ||: the other one, and each operand left out."""
        op = node["opcode"]
        left, right = node["inner"]
        a, b = short(self.source(left), 40), short(self.source(right), 40)
        other = self.mutant(at, told, f"{a} {'||' if op == '&&' else '&&'} {b}")
        without = self.mutant(at, told, a)
        neutral = "1" if op == "&&" else "0"
        first = "!!("
        if left.get("opcode") != op:  # else the left one is left out there
            first = f"{self.mutant(at, told, b)} ? {neutral} : !!("
        self.wrap(node, f"({{ const int {x} = {first}",
                  "); })")
        self.replace(at, 2, f"); {x} == {'' if op == '&&' else '!'}{other} ? "
                            f"{x} : {without} ? {neutral} : !!(")

    def compound(self, node):
        op = node["opcode"]
        left, right = node["inner"]
        if op not in ASSIGNED or "at" not in left or "at" not in right or \
           re.search("double|float", right["type"]["qualType"]):
            return
        at, found = self.between(left, right)
        if found != op:
            return
        a, b = short(self.source(left), 40), short(self.source(right), 40)
        swapped = self.mutant(at, f"{a} {op} {b}", f"{a} {ASSIGNED[op]} {b}")
        x = f"mutant_{at}"
        self.wrap(right, f"({{ const long long {x} = (long long)(",
                  f"); {swapped} ? -{x} : {x}; }})")

    def unary(self, node, parent):
        """Whether nothing below is to be touched."""
        inner = node["inner"][0]
        if not node["plain"]:
            return False
        if node["opcode"] == "!":
            told = short(self.source(node), 60)
            at = node["at"][0]
            self.wrap(node, "((", f") != {self.mutant(at, told, told[1:])})")
        if node["opcode"] == "-" and inner["kind"] == "IntegerLiteral":
            return self.returned(node, parent)
        return False

    def returned(self, node, parent):
        """A failure that is none."""
        while parent and parent["kind"] in WRAPPERS:
            parent = parent["up"]
        if not parent or parent["kind"] != "ReturnStmt" or \
           not node["plain"] or self.pointer(node):
            return False
        told = "return " + short(self.source(node), 40)
        chosen = self.mutant(node["at"][0], told, "return 0")
        self.wrap(node, "(", f" * !{chosen})")
        return True

    def literal(self, node, parent):
        begin, end = node["at"]
        told = self.text[begin:end]
        if told in ("true", "false"):
            other = {"true": "false", "false": "true"}[told]
            chosen = self.mutant(begin, *self.around(node, other))
            self.wrap(node, "(", f" != {chosen})")
            return
        if not node["plain"] or not told[0].isdigit():
            return
        while parent and parent["kind"] in WRAPPERS:
            parent = parent["up"]
        if parent and parent["kind"] == "BinaryOperator":
            side = 0 if parent["inner"][0]["at"] == (begin, end) else 1
            if (parent["opcode"], side) in SAME_AS_NEIGHBOUR:
                return
        try:
            value = int(re.sub("[uUlL]+$", "", told), 0)
        except ValueError:  # an octal one
            return
        more = hex(value + 1) if told[1:2] in ("x", "X") else str(value + 1)
        chosen = self.mutant(begin, *self.around(node, more))
        self.wrap(node, "(", f" + {chosen})")

    def around(self, node, other):
        """A literal amid what it is part of, and the same with the other."""
        begin, end = node["at"]
        parent = node["up"]
        while parent["kind"] in WRAPPERS or parent["at"] == (begin, end):
            parent = parent["up"]
        outer = parent["at"]
        if parent["kind"] not in EXPRESSIONS:
            outer = begin, end
        before = short(self.text[max(outer[0], begin - 30):begin] + "|", 99)
        after = short("|" + self.text[end:min(outer[1], end + 30)], 99)
        return tuple(before[:-1] + told + after[1:]
                     for told in (self.text[begin:end], other))

    def condition(self, node):
        """Of if, a loop or ?:, negated, where no operator above does so."""
        kind = node["kind"]
        inner = node.get("inner", [])
        if kind in ("IfStmt", "WhileStmt", "ConditionalOperator"):
            cond = inner[0]
        elif kind == "DoStmt":
            cond = inner[1]
        elif kind == "ForStmt":
            cond = inner[2]
        else:
            return
        core = cond
        while core.get("kind") in WRAPPERS:
            core = core["inner"][0]
        if "at" not in cond or core["kind"] == "IntegerLiteral" or \
           core.get("opcode") in (*OPPOSITE, "&&", "||", "!"):
            return
        begin, end = cond["at"]
        if kind == "ConditionalOperator":
            if "at" not in inner[1] or \
               self.between(cond, inner[1])[1] != "?":
                return
        elif not node["plain"] or self.text[:begin].rstrip()[-1] != (
                ";" if kind == "ForStmt" else "("):
            return
        told = short(self.source(cond), 60)
        chosen = self.mutant(begin, told, f"!({told})")
        self.wrap(cond, "(!(", f") == {chosen})")

    def statement(self, node, parent):
        """One whose value nobody uses, left out."""
        if not parent or parent["kind"] not in STATEMENTS:
            return
        if not node["plain"]:
            return
        begin, end = node["at"]
        if not re.compile(r"\s*;").match(self.text, end) or \
           self.text[:begin].rstrip()[-1:] == "(":  # the first of a for
            return
        if parent["kind"] == "ForStmt" and node is not parent["inner"][-1]:
            return
        core = node
        while core["kind"] in ("CStyleCastExpr", "ParenExpr"):
            core = core["inner"][0]
        kind = core["kind"]
        if not (kind == "CallExpr" and not self.calls(core, CLEANING_CALL) or
                kind == "CompoundAssignOperator" or
                kind == "BinaryOperator" and core["opcode"] == "=" or
                kind == "UnaryOperator" and core["opcode"] in ("++", "--")):
            return
        told = short(self.source(node), 60) + ";"
        chosen = self.mutant(begin, told, "")
        self.wrap(node, f"({chosen} ? (void)0 : (void)(", "))")


def mutants_of(root, path):
    """Its mutants, and the rewritten source, whose numbers are to be set."""
    source = Source(root, path)
    met = collections.Counter()
    for m in source.mutants:
        told = m["function"], m["source"], m["before"], m["after"]
        met[told] += 1
        m["nth"] = met[told]  # of a kind, in lines that read the same
    return source.mutants, source.rewritten()


def numbered(text, first):
    return re.sub("@([0-9]+)@", lambda m: str(int(m[1]) + first),
                  text).encode("latin-1")
