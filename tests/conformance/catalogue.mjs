// What the suite in this directory tests, as JSON: node catalogue.mjs DIRECTORY
// Its results name only ids; kinds and dependencies are in its modules.
import path from 'node:path'
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const directory = path.resolve(process.argv[2], 'tests')
const load = async name => (await import(pathToFileURL(path.join(directory, name)))).default

const suites = await load('index.mjs')
// In the packaged version the command line adds this chapter itself.
if (existsSync(path.join(directory, 'surrogate-control.mjs'))) {
  const surrogate = await load('surrogate-control.mjs')
  if (!suites.some(suite => suite.id === surrogate.id)) suites.push(surrogate)
}

process.stdout.write(JSON.stringify(suites.flatMap(suite => suite.tests.map(test => ({
  id: test.id,
  suite: suite.id,
  name: test.name,
  kind: test.kind ?? 'required',
  depends_on: test.depends_on ?? [],
  browser_only: test.browser_only === true
})))))
