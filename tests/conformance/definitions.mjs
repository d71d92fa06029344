// The requests of every test of the suite, as JSON: node definitions.mjs DIRECTORY
// Numbers in the place of a field's value are seconds from now, as a date.
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const index = path.resolve(process.argv[2], 'tests', 'index.mjs')
const suites = (await import(pathToFileURL(index))).default

process.stdout.write(JSON.stringify(suites.flatMap(suite => suite.tests.map(test => ({
  id: test.id,
  requests: test.requests
})))))
