// Preloaded into the suite's own origin. Decides where it listens and how long it lives; knows nothing of its tests.
'use strict'

const net = require('node:net')

const listen = net.Server.prototype.listen

// The suite says listen(port), which binds every interface of the machine.
net.Server.prototype.listen = function (port, ...rest) {
  const listening = rest.find(argument => typeof argument === 'function')
  return listen.call(this, { port: Number(port), host: '127.0.0.1' }, listening)
}

// The runner holds the other end of this pipe: however it ends, this process ends with it.
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume()
