-- Compares pairs of versions, tab between them, by Cabal's own library: `<`, `=`, `>`, or `!` for what is no version.
import Distribution.Parsec (simpleParsec)
import Distribution.Version (Version)

main :: IO ()
main = interact (unlines . map answer . lines)
 where
  answer line = case break (== '\t') line of
    (a, _ : b) -> maybe "!" symbol (compare <$> version a <*> version b)
    _ -> "!"
  version text = simpleParsec text :: Maybe Version
  symbol order = case order of LT -> "<"; EQ -> "="; GT -> ">"
