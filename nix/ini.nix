# What b1000.cfg(5) looks like: the type of its sections, and their text.
{ lib }:
let
  inherit (lib) types;

  value = types.nullOr (
    types.oneOf [
      types.bool
      types.int
      types.str
      (types.listOf (types.either types.str types.int))
    ]
  );

  section = types.attrsOf value // {
    description = "section of b1000.cfg(5): options with their values, lists for several words";
  };

  # Words of these are not quoted: the program splits them at white space only.
  unquoted = [ "exclude_regex" ];

  # One word of a list, quoted where the program would take it apart.
  word =
    key: item:
    let
      text = toString item;
    in
    if lib.elem key unquoted || builtins.match ''[^][:space:]'"\]+'' text != null then
      text
    else
      ''"${lib.escape [ ''"'' "\\" ] text}"'';

  # The lines of a value; all but the first are indented, which continues it.
  linesOf =
    key: v:
    if builtins.isBool v then
      [ (if v then "yes" else "no") ]
    else if builtins.isList v then
      [ (lib.concatMapStringsSep " " (word key) v) ]
    else
      lib.splitString "\n" (lib.removeSuffix "\n" (toString v));

  option = key: v: "${key} = ${lib.concatStringsSep "\n\t" (linesOf key v)}\n";

  isSet = _: v: v != null && v != [ ];

  options = set: lib.concatStrings (lib.mapAttrsToList option (lib.filterAttrs isSet set));
in
{
  inherit
    value
    section
    linesOf
    isSet
    options
    ;

  # The text of a whole configuration, sections by name.
  text =
    sections:
    lib.concatStringsSep "\n" (
      lib.mapAttrsToList (title: set: "[${title}]\n${options set}") (
        lib.filterAttrs (_: set: lib.filterAttrs isSet set != { }) sections
      )
    );
}
