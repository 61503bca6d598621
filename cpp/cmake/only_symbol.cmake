# cmake -DNM=... -DOBJECT=... -DSYMBOL=... -P only_symbol.cmake
#
# Fails the build if OBJECT shows the linker any symbol but SYMBOL. Whatever else it showed, code for
# a new machine among it, could be picked for an old one, which would die of an illegal instruction.
execute_process(COMMAND "${NM}" --defined-only --extern-only --format=posix "${OBJECT}"
                OUTPUT_VARIABLE _symbols RESULT_VARIABLE _failed)
string(REGEX REPLACE " [^\n]*\n" ";" _names "${_symbols}")
list(REMOVE_ITEM _names "" "${SYMBOL}")
string(FIND "${_symbols}" "${SYMBOL} " _found)
if(_failed OR _names OR _found EQUAL -1)
  file(REMOVE "${OBJECT}")
  message(FATAL_ERROR "${OBJECT} must show ${SYMBOL} and nothing else, but it shows:\n${_symbols}")
endif()
